"""Claims of a paper: verdicts from the measures of several runs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from avseg.reproduction.claims import ClaimCheck, Reproduction, gain
from avseg.training.recipe import Recipe


@dataclass(frozen=True)
class OneClaim(Reproduction):
    """A paper that claims that a is better than b."""

    paper: ClassVar[str] = "paper"

    @staticmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Return the recipe named after the row."""
        return replace(recipe, name=row)

    def check_claims(self) -> list[ClaimCheck]:
        """Test the claim."""
        return [self.check("a is better", gain("a", "b", "j"))]

    def tables(self) -> list[str]:
        """Return a table of one line."""
        return [" ".join(self.spreads("a", ["j", "f"]))]


def runs(*values: float) -> list[dict[str, float]]:
    return [{"j": value} for value in values]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((0.59, 0.61), (0.49, 0.51), "holds"),
        ((0.49, 0.51), (0.59, 0.61), "does not hold"),
        ((0.4, 0.8), (0.49, 0.51), "cannot be told"),
        ((0.9,), (0.1,), "cannot be told"),
    ],
)
def test_a_difference_beyond_two_standard_errors_decides(
    a: tuple[float, ...], b: tuple[float, ...], verdict: str
) -> None:
    assert OneClaim({"a": runs(*a), "b": runs(*b)}, 9).check_claims()[0].verdict == verdict


def test_a_difference_within_the_margin_still_holds() -> None:
    found = OneClaim({"a": runs(0.500, 0.502), "b": runs(0.504, 0.506)}, 9)
    assert found.check("as good", gain("a", "b", "j")).verdict == "does not hold"
    assert found.check("as good", gain("a", "b", "j"), margin=0.01).verdict == "holds"


def test_the_standard_errors_of_all_terms_are_printed() -> None:
    figures = OneClaim({"a": runs(0.6, 0.8), "b": runs(0.5, 0.5)}, 9).check_claims()[0].figures
    assert figures == "+0.200 ± 0.200 (two standard errors)"


def test_tables_and_claims_are_written_as_markdown_and_json(tmp_path: Path) -> None:
    OneClaim({"a": runs(0.6, 0.8), "b": runs(0.5, 0.5)}, 9).save(tmp_path)
    text = (tmp_path / "paper.md").read_text()
    assert text.startswith("0.700 ± 0.141 -\n")
    assert "| a is better | cannot be told | +0.200" in text
    content = json.loads((tmp_path / "paper.json").read_text())
    assert content["rows"]["b"] == runs(0.5, 0.5)
    assert content["findings"][0]["claim"] == "a is better"
