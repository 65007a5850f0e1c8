"""AV2T-SAM's tables with small models: trained rows, and verdicts on its claims."""

import json
import shutil
from pathlib import Path

import pytest

from avseg.errors import TrainingError
from avseg.reproduction.av2t_sam import Av2tSamTables
from avseg.reproduction.benchmark import NOTHING
from avseg.reproduction.papers import reproduce
from avseg.reproduction.runs import PlannedRun
from tests.training import tiny


def measures(s4: float, ms3: float) -> dict[str, float]:
    return {"s4_test_j": s4, "ms3_test_j": ms3}


def rows(**means: tuple[float, float]) -> dict[str, list[dict[str, float]]]:
    """Three runs of each row, a hundredth apart."""
    return {
        name.replace("_", "+"): [measures(s4 + d, ms3 + d) for d in (-0.01, 0.0, 0.01)]
        for name, (s4, ms3) in means.items()
    }


def verdicts(**means: tuple[float, float]) -> dict[str, str]:
    return {f.claim: f.verdict for f in Av2tSamTables(rows(**means), 550).check_claims()}


def test_the_best_prompt_is_compared_with_the_better_of_the_others() -> None:
    found = verdicts(clip=(0.80, 0.5), clap=(0.70, 0.6), mul=(0.75, 0.7))
    assert found["CLIP x CLAP is the best prompt, without adapters, s4"] == "does not hold"
    assert found["CLIP x CLAP is the best prompt, without adapters, ms3"] == "holds"
    assert found["the picture alone does the single source, without adapters"] == "holds"


def test_a_gain_is_compared_between_the_subsets() -> None:
    found = verdicts(mul=(0.70, 0.50), mul_adapters=(0.71, 0.60))
    assert found["adapters help, ms3"] == "holds"
    assert found["adapters help, s4"] == "cannot be told"
    assert found["adapters help more with multiple sources than with a single one"] == "holds"


def test_one_seed_decides_no_claim() -> None:
    one = {"mul": [measures(0.5, 0.5)], "mul+adapters": [measures(0.9, 0.9)]}
    check = Av2tSamTables(one, 550).check_claims()[0]
    assert (check.verdict, check.figures) == ("cannot be told", "+0.400 (one seed)")


def test_the_table_has_the_figures_of_the_paper_too() -> None:
    text = Av2tSamTables(rows(mul_adapters=(0.7, 0.5)), 550).markdown()
    row = next(line for line in text.splitlines() if line.startswith("| mul+adapters | 3"))
    assert row.endswith("| 86.67, 0.924 | 69.65, 0.777 |")


def test_an_unknown_row_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no row 'ears'; there are clip, clap, mul"):
        reproduce("av2t-sam", output=tmp_path, rows=["ears"])
    assert not list(tmp_path.iterdir())


def test_finished_runs_are_not_trained_again(runs: Path, data: Path, tmp_path: Path) -> None:
    for part in ("clip", "clap", "segmenter"):
        shutil.copytree(runs / part, tmp_path / part)
    trained: list[str] = []

    def on_run(run: PlannedRun, number: int, total: int) -> None:
        trained.append(f"{number}/{total} {run.output.name}")

    for seeds in (1, 2):
        found = reproduce(
            "av2t-sam",
            output=tmp_path,
            data=data,
            feature_cache="none",
            rows=["clap"],
            seeds=seeds,
            steps=1,
            recipe=tiny.BRIDGE,
            on_run=on_run,
        )
    assert trained == ["1/1 bridge_clap_0", "1/1 bridge_clap_1"]
    assert len(found.rows["clap"]) == 2
    assert found.rows[NOTHING][0]["s4_test_j"] == 0.0
    assert {"s4_test_j", "s4_test_seen_j", "ms3_test_f"} <= found.rows["clap"][0].keys()
    assert json.loads((tmp_path / "av2t-sam.json").read_text())["steps"] == 1
    assert "| clap | 2 |" in (tmp_path / "av2t-sam.md").read_text()
