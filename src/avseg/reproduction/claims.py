"""What a paper says, and whether it holds in what was measured."""

import json
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from avseg.atomic import replace_when_complete
from avseg.reproduction.grid import Measures
from avseg.training.recipe import Recipe

#: A mean that a difference adds (1) or subtracts (-1): of a row's measure.
Term = tuple[Literal[1, -1], str, str]


@dataclass(frozen=True)
class Finding:
    """What the paper says, and what was found.

    Attributes:
        claim: The paper's.
        verdict: Whether it holds here.
        figures: The difference that decides, and what chance of the seeds makes of it.
    """

    claim: str
    verdict: Literal["holds", "does not hold", "cannot be told"]
    figures: str


@dataclass(frozen=True)
class Reproduction(ABC):
    """All that was measured for a paper.

    Attributes:
        paper: Name of the paper, and of the files.
        recipe_name: Recipe of the package that every row varies.
        row_names: All rows that can be trained.
        rows: Name of a row to the measures of its runs, one for each seed.
        steps: Of each training.
    """

    paper: ClassVar[str]
    recipe_name: ClassVar[str]
    row_names: ClassVar[tuple[str, ...]]

    rows: dict[str, list[Measures]]
    steps: int

    @staticmethod
    @abstractmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Make the recipe of a row.

        Args:
            recipe: What all rows vary.
            row: Name of the row.

        Returns:
            The recipe, named after the row, with what is measured at its end.
        """

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Compare with what the paper says.

        Returns:
            A finding for each of the paper's claims that the rows allow to judge.
        """

    @abstractmethod
    def tables(self) -> list[str]:
        """Write the tables beside the paper's.

        Returns:
            Lines of Markdown.
        """

    def markdown(self) -> str:
        """Write the tables beside the paper's, and the findings.

        Returns:
            Markdown.
        """
        lines = [*self.tables(), "", "| the paper says | here | difference of J |"]
        lines += ["| --- | --- | --- |"]
        lines += [f"| {f.claim} | {f.verdict} | {f.figures} |" for f in self.findings()]
        return "\n".join(lines) + "\n"

    def save(self, folder: Path) -> None:
        """Write `PAPER.md` and `PAPER.json`.

        Args:
            folder: Where to.
        """
        content = asdict(self) | {"findings": [asdict(finding) for finding in self.findings()]}
        for name, text in (
            (f"{self.paper}.md", self.markdown()),
            (f"{self.paper}.json", json.dumps(content, indent=2) + "\n"),
        ):
            with replace_when_complete(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")

    def mean(self, row: str, measure: str) -> float:
        """Average a measure over the runs of a row.

        Args:
            row: Name of the row.
            measure: Name of the measure.

        Returns:
            The mean.
        """
        return statistics.mean(run[measure] for run in self.rows[row])

    def spreads(self, row: str, measures: Sequence[str]) -> list[str]:
        """Write the cells of a row.

        Args:
            row: Name of the row.
            measures: Names of the measures.

        Returns:
            Mean and standard deviation of each over the runs; "-" where none has it.
        """
        runs = self.rows[row]
        return [_spread([run[name] for run in runs if name in run]) for name in measures]

    def judge(self, claim: str, terms: Sequence[Term], margin: float = 0.0) -> Finding:
        """Judge a claim by a sum of means with signs.

        Args:
            claim: The paper's: that the sum is positive.
            terms: Of the sum, each of its own runs.
            margin: How far below zero it may lie, and the claim still hold.

        Returns:
            The claim holds or not if the sum is more than two standard errors away.
        """
        difference, variance = 0.0, 0.0
        for sign, row, measure in terms:
            values = [run[measure] for run in self.rows[row]]
            difference += sign * statistics.mean(values)
            variance += statistics.variance(values) / len(values) if len(values) > 1 else math.inf
        error = 2 * math.sqrt(variance)
        if difference + margin > error:
            return Finding(claim, "holds", _signed(difference, error))
        if difference + margin < -error:
            return Finding(claim, "does not hold", _signed(difference, error))
        return Finding(claim, "cannot be told", _signed(difference, error))


def gain(better: str, worse: str, measure: str) -> list[Term]:
    """Give the terms of what one row is better by than another.

    Args:
        better: Name of a row.
        worse: Name of another.
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
    sure = f"± {error:.3f} (two standard errors)" if math.isfinite(error) else "(one seed)"
    return f"{difference:+.3f} {sure}"
