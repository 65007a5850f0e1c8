"""Size of the harnesses, and their tables: printed at the end, and written to build/soak/.

SOAK_SIZE is the share of the full size: 1 for `make soak`, a small share for `.ci/run`.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.reliability.outcomes import Table

#: Seed of every harness, printed with its table.
SEED = 2026

_TABLES = Path("build") / "soak"
_texts: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute on one thread: a fork of a process with threads could wait for a lock for ever."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def size() -> float:
    """Share of the full size, in (0, 1]."""
    return float(os.environ.get("SOAK_SIZE", "0.01"))


@pytest.fixture(scope="session")
def scaled(size: float) -> Callable[..., int]:
    """Function that scales a full number of trials, with a lower bound."""

    def scale(full: int, at_least: int = 1) -> int:
        return max(at_least, round(full * size))

    return scale


@pytest.fixture(scope="session")
def publish(size: float) -> Callable[[Table, str], None]:
    """Function that prints a table at the end of the session, and writes it to build/soak/."""

    def keep(table: Table, name: str) -> None:
        table.notes.append(f"Seed {SEED}, {size:g} of the full size.")
        table.save(_TABLES, name)
        _texts.append(table.to_markdown())

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of this session."""
    for text in _texts:
        terminalreporter.write_line("\n" + text)
