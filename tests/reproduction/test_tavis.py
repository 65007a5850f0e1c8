"""TAViS's tables with small models: trained rows, and verdicts on its claims."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from avseg.errors import TrainingError
from avseg.reproduction import papers
from avseg.reproduction.papers import reproduce
from avseg.reproduction.runs import Measures
from avseg.reproduction.tavis import ABLATIONS, PAPER, ROWS, TavisTables
from avseg.synthavs.categories import SEEN
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.validation import validate
from tests.training import tiny
from tests.training.tasks.test_tavis import MODEL


def tables(**means: tuple[float, float]) -> TavisTables:
    """Three runs of each row, a thousandth apart: J of S4 and MS3."""
    return TavisTables(
        {
            name.replace("_", "-"): [
                {"s4_test_j": s4 + d, "ms3_test_j": ms3 + d} for d in (-0.001, 0.0, 0.001)
            ]
            for name, (s4, ms3) in means.items()
        },
        300,
    )


def verdicts(**means: tuple[float, float]) -> dict[str, str]:
    return {f.claim: f.verdict for f in tables(**means).check_claims()}


def test_the_figures_of_the_paper_support_its_claims() -> None:
    percent = {row.replace("-", "_"): (s4 / 100, ms3 / 100) for row, (s4, ms3) in PAPER.items()}
    found = verdicts(**percent)
    assert len(found) == 5 * 3 + 2 + 2
    assert set(found.values()) == {"holds"}


def test_the_largest_drop_is_compared_with_the_larger_of_the_others() -> None:
    found = verdicts(no_ibqd=(0.70, 0.50), no_tbas=(0.65, 0.60), no_tbhp=(0.75, 0.55))
    assert found == {
        "of the three parts IBQD helps most, s4": "does not hold",
        "of the three parts IBQD helps most, ms3": "holds",
    }


def test_a_component_does_not_help_if_the_model_without_it_is_as_good() -> None:
    found = verdicts(full=(0.7, 0.5), no_tbhp=(0.7, 0.6))
    assert found["hybrid prompting helps, s4"] == "cannot be told"
    assert found["hybrid prompting helps, ms3"] == "does not hold"
    assert found["hybrid prompting helps more with multiple sources"] == "does not hold"


def test_the_table_has_the_figures_of_the_paper_too() -> None:
    text = tables(no_ibqd=(0.7, 0.5)).markdown()
    assert text.startswith("# TAViS in small: 300 steps on frames of SynthAVS")
    row = next(line for line in text.splitlines() if line.startswith("| w/o IBQD (`no-ibqd`) | 3"))
    assert row.endswith("| 79.6 | 58.5 |")
    assert "zero-shot" not in text


def test_the_zero_shot_table_separates_seen_and_unseen_categories() -> None:
    both = "s4_test_seen+s4_test_zero_shot_miou"
    run: Measures = {f"{both}_seen": 0.6, f"{both}_unseen": 0.2, f"{both}_harmonic": 0.3}
    run |= {"s4_test_seen_j": 0.7, "s4_test_zero_shot_f": 0.5}
    text = TavisTables({"zero-shot": [run]}, 300).markdown()
    row = next(line for line in text.splitlines() if line.endswith("| 0.500 |"))
    assert "(`zero-shot`) | s4 | 1 | 0.600 | 0.200 | 0.300 | 0.700 | - | - | 0.500 |" in row
    assert "TAViS 28.21, OV-AVSS 22.20" in text


def test_an_unknown_row_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no row 'ears'; there are full, no-ibqd"):
        reproduce("tavis", output=tmp_path, rows=["ears"])
    assert not list(tmp_path.iterdir())


def test_each_row_is_trained_and_measured_on_both_subsets(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(papers, "measure_baselines", lambda _: {})
    frames = load_recipe("tavis_small_frames")
    trainer = tiny.TRAINER | {"max_steps": 1}
    trained: list[str] = []
    found = reproduce(
        "tavis",
        output=tmp_path,
        data=data,
        feature_cache="none",
        rows=["no-tbhp"],
        seeds=1,
        recipe=replace(frames, model=MODEL | frames.model, trainer=trainer, start_from={}),
        on_run=lambda run, *_: trained.append(run.output.name),
    )
    assert trained == ["tavis_no_tbhp_0"]
    wanted = {f"{s}_{split}_j" for s in ("s4", "ms3") for split in ("test", "test_seen")}
    assert wanted <= found.rows["no-tbhp"][0].keys()
    assert json.loads((tmp_path / "tavis.json").read_text())["steps"] == 1


def varied(row: str) -> Recipe:
    return TavisTables.vary(load_recipe(TavisTables.recipe_name), row)


def test_each_ablation_trains_with_its_options() -> None:
    assert (*ABLATIONS, "zero-shot") == ROWS
    for row, (_, options) in ABLATIONS.items():
        assert options.items() <= varied(row).model.items()
        validate(varied(row))


def test_the_zero_shot_row_is_trained_without_unseen_names() -> None:
    recipe = varied("zero-shot")
    validate(recipe)
    assert recipe.data["classes"] == list(SEEN)
    assert recipe.data["tested"] == [
        "s4/test_seen",
        "ms3/test_seen",
        "s4/test_zero_shot",
        "s4/test_seen+s4/test_zero_shot",
        "ms3/test_zero_shot",
        "ms3/test_seen+ms3/test_zero_shot",
    ]
    assert "classes" not in varied("full").data
    assert varied("full").data["seen"] == list(SEEN)


def test_all_rows_have_different_options() -> None:
    assert len({str(options) for _, options in ABLATIONS.values()}) == len(ROWS) - 1
