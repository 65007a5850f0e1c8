"""Outcomes of the trials of a harness, counted in one table."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

#: Kinds of outcomes that no harness accepts.
CRASH, HANG, RAW, HALF, LOSS, OTHER = (
    *("crash", "hang", "raw exception", "half result", "silent loss", "other result"),
)


@dataclass(frozen=True)
class Outcome:
    """Outcome of one trial.

    Attributes:
        kind: Kind of the outcome, a column of the table.
        detail: What happened, for the list of failures.
    """

    kind: str
    detail: str = ""


@dataclass
class Table:
    """Number of outcomes by row and kind, and a list of the failures.

    Attributes:
        title: Name of the harness and what it tried.
        kinds: Kinds of outcomes in the order of the columns.
        failures: Kinds whose outcomes are listed one by one.
        counts: Number of outcomes of each kind by row.
        listed: The outcomes of these kinds.
        notes: Sentences below the table: seed, sizes, other measurements.
    """

    title: str
    kinds: tuple[str, ...]
    failures: tuple[str, ...] = (CRASH, HANG, RAW, HALF, LOSS, OTHER)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, outcome: Outcome) -> None:
        """Count an outcome.

        Args:
            row: Name of the row.
            outcome: The outcome.
        """
        self.counts.setdefault(row, Counter())[outcome.kind] += 1
        if outcome.kind in self.failures:
            self.listed.append(f"{row}: {outcome.kind}: {outcome.detail}")

    def total(self, *kinds: str) -> int:
        """Return the number of outcomes of some kinds over all rows; of all kinds if none given."""
        return sum(
            n for row in self.counts.values() for k, n in row.items() if not kinds or k in kinds
        )

    def to_markdown(self) -> str:
        """Format the table, its notes and the list of failures as Markdown."""
        lines = [f"### {self.title}", "", *_row(("", "tried", *self.kinds))]
        lines += _row(("---", *["---:"] * (1 + len(self.kinds))))
        for name, counted in self.counts.items():
            lines += _row((name, counted.total(), *(counted[kind] for kind in self.kinds)))
        lines += _row(("**all**", self.total(), *(self.total(kind) for kind in self.kinds)))
        lines += ["", *(f"{note}\n" for note in self.notes)]
        lines += [f"- {failure}" for failure in self.listed]
        return "\n".join(lines).rstrip() + "\n"

    def save(self, folder: Path, name: str) -> None:
        """Write the table as NAME.md and NAME.json.

        Args:
            folder: Folder of the tables.
            name: Name of the harness.
        """
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"title": self.title, "counts": self.counts, "notes": self.notes}
        text = json.dumps(facts | {"failures": self.listed}, indent=2)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8", "backslashreplace")
        (folder / f"{name}.md").write_text(self.to_markdown(), "utf-8", "backslashreplace")


def _row(cells: Iterable[object]) -> list[str]:
    return ["| " + " | ".join(map(str, cells)) + " |"]
