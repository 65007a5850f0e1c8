"""Folders with small files of one kind, and the readers that a damaged file of them reaches."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.reliability.conftest import SEED
from tests.reliability.mutations import mutate, mutate_json, mutate_safetensors
from tests.reliability.outcomes import RAW, Outcome
from tests.reliability.workers import guarded


@dataclass(frozen=True)
class Subject:
    """A folder, of which one file at a time is damaged, and its reader.

    Attributes:
        name: Name in tables.
        folder: The intact folder.
        files: Paths of the files to damage, relative to the folder.
        read: Function of the folder that reads everything in it, and returns the kind of the
            outcome.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    read: Callable[[Path], str]

    @classmethod
    def of_folder(
        cls, name: str, folder: Path, read: Callable[[Path], str], pattern: str = "*"
    ) -> "Subject":
        """Return a subject with all files in a folder that match a pattern."""
        files = (path for path in sorted(folder.rglob(pattern)) if path.is_file())
        return cls(name, folder, tuple(path.relative_to(folder) for path in files), read)

    def damage(self, number: int, copies: Path) -> tuple[str, Outcome]:
        """Damage one file of a copy of the folder, read the copy, and remove it.

        Args:
            number: Number of the damage; the same number gives the same damage.
            copies: Folder for the copies, one for each process.

        Returns:
            Kind of the file, as a row of a table, and the outcome.
        """
        copy = copies / f"{self.name.replace(' ', '-')}-{os.getpid()}"
        shutil.copytree(self.folder, copy, copy_function=os.link)
        rng = np.random.default_rng([SEED, number])
        # The kind first: there are many images, and few tables.
        suffixes = sorted({file.suffix for file in self.files})
        suffix = suffixes[rng.integers(len(suffixes))]
        files = [file for file in self.files if file.suffix == suffix]
        file = files[rng.integers(len(files))]
        intact = (self.folder / file).read_bytes()
        mutator = {".json": mutate_json, ".safetensors": mutate_safetensors}.get(
            file.suffix, mutate
        )
        damaged, description = mutator(intact, rng)
        (copy / file).unlink()  # a link to the intact file
        (copy / file).write_bytes(damaged)
        outcome = guarded(lambda folder: Outcome(self.read(folder)), copy)
        if outcome.kind == RAW:
            outcome = Outcome(RAW, f"case {number}, {file}, {description}: {outcome.detail}")
        shutil.rmtree(copy)
        return f"{self.name} {file.suffix or file.name}", outcome
