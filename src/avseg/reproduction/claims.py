"""Claims of a paper, and whether the measures of a reproduction support them."""

import json
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from avseg.atomic import OwnFolder, add_when_complete, has_marker
from avseg.reproduction.runs import Measures
from avseg.training.recipe import Recipe

#: Term of a sum of means: sign, name of the row, and name of the measure.
Term = tuple[Literal[1, -1], str, str]


@dataclass(frozen=True)
class ClaimCheck:
    """A claim of a paper, and whether it holds here.

    Attributes:
        claim: The claim.
        verdict: Whether it holds; "cannot be told" if the difference is within two standard errors.
        figures: The tested difference, with two standard errors.
    """

    claim: str
    verdict: Literal["holds", "does not hold", "cannot be told"]
    figures: str


@dataclass(frozen=True)
class Reproduction(ABC):
    """All measures of a paper's rows, its tables and its claims.

    Attributes:
        paper: Name of the paper, and of the files.
        recipe_name: Name of the packaged recipe of which each row is a variant.
        row_names: Names of all rows that can be trained.
        rows: Name of each row -> the measures of its runs, one run for each seed.
        steps: Training steps of each run.
    """

    paper: ClassVar[str]
    recipe_name: ClassVar[str]
    row_names: ClassVar[tuple[str, ...]]

    rows: dict[str, list[Measures]]
    steps: int

    @staticmethod
    @abstractmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Return the recipe of a row.

        Args:
            recipe: Recipe of which all rows are variants.
            row: Name of the row.

        Returns:
            The recipe, named after the row, with the splits that are evaluated after the training.
        """

    @abstractmethod
    def check_claims(self) -> list[ClaimCheck]:
        """Test the claims of the paper.

        Returns:
            A check of each claim whose rows were trained.
        """

    @abstractmethod
    def tables(self) -> list[str]:
        """Format the measures as tables, with the paper's own figures.

        Returns:
            Lines of Markdown.
        """

    def markdown(self) -> str:
        """Format the tables and the tested claims.

        Returns:
            Markdown.
        """
        lines = [*self.tables(), "", "| the paper says | here | difference of J |"]
        lines += ["| --- | --- | --- |"]
        lines += [f"| {c.claim} | {c.verdict} | {c.figures} |" for c in self.check_claims()]
        return "\n".join(lines) + "\n"

    def save(self, folder: Path) -> None:
        """Write `PAPER.md` and `PAPER.json`.

        Args:
            folder: The folder.

        Raises:
            OutputError: If it has files of these names that are no reproduction, or they cannot be
                written.
        """
        self.check_folder(folder)
        # The JSON has every value of every run, so that other tests can be computed from it.
        content = asdict(self) | {"findings": [asdict(check) for check in self.check_claims()]}
        with add_when_complete(folder) as partial:
            for name, text in (
                (f"{self.paper}.md", self.markdown()),
                (f"{self.paper}.json", json.dumps(content, indent=2) + "\n"),
            ):
                (partial / name).write_text(text, encoding="utf-8")

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """Raise an error if a folder has files of these names that are no reproduction.

        Runs and data sets in the folder are checked by their own writers, and other files stay.

        Args:
            folder: The folder; it need not exist.

        Raises:
            OutputError: If it has such files.
        """
        names = {f"{cls.paper}.md", f"{cls.paper}.json"}
        own = OwnFolder(
            f"a reproduction of {cls.paper}", has_marker(f"{cls.paper}.json", ("rows",))
        )
        others = [p for p in folder.iterdir() if p.name not in names] if folder.is_dir() else []
        own.check(folder, others)

    def mean(self, row: str, measure: str) -> float:
        """Compute the mean of a measure over the runs of a row.

        Args:
            row: Name of the row.
            measure: Name of the measure.

        Returns:
            The mean.
        """
        return statistics.mean(run[measure] for run in self.rows[row])

    def spreads(self, row: str, measures: Sequence[str]) -> list[str]:
        """Format the measures of a row as cells.

        Args:
            row: Name of the row.
            measures: Names of the measures.

        Returns:
            Mean and standard deviation of each measure over the runs; "-" if no run has it.
        """
        runs = self.rows[row]
        return [_spread([run[name] for run in runs if name in run]) for name in measures]

    def check(self, claim: str, terms: Sequence[Term], margin: float = 0.0) -> ClaimCheck:
        """Test a claim that a signed sum of means is positive.

        The means are over different runs, so their squared standard errors add up. One seed has no
        standard error, so it decides no claim.

        Args:
            claim: The claim.
            terms: Terms of the sum.
            margin: Number added to the sum, so that equally good rows support the claim.

        Returns:
            The check, decided if the sum plus the margin is over two standard errors from zero.
        """
        # Two standard errors are about a 95 % interval, if the means are normally distributed.
        difference, variance = 0.0, 0.0
        for sign, row, measure in terms:
            values = [run[measure] for run in self.rows[row]]
            difference += sign * statistics.mean(values)
            # An infinite variance makes the claim undecided, whatever the difference is.
            variance += statistics.variance(values) / len(values) if len(values) > 1 else math.inf
        error = 2 * math.sqrt(variance)
        if difference + margin > error:
            return ClaimCheck(claim, "holds", _signed(difference, error))
        if difference + margin < -error:
            return ClaimCheck(claim, "does not hold", _signed(difference, error))
        return ClaimCheck(claim, "cannot be told", _signed(difference, error))


def gain(better: str, worse: str, measure: str) -> list[Term]:
    """Return the terms of a difference between two rows.

    Args:
        better: Name of the row that should be better.
        worse: Name of the other row.
        measure: Name of the measure.

    Returns:
        The terms of the difference.
    """
    return [(1, better, measure), (-1, worse, measure)]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def _signed(difference: float, error: float) -> str:
    interval = f"± {error:.3f} (two standard errors)" if math.isfinite(error) else "(one seed)"
    return f"{difference:+.3f} {interval}"
