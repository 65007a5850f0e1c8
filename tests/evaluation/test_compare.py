"""Comparison of several models on the same clips."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avseg.errors import ReportError
from avseg.evaluation.compare import compare
from avseg.evaluation.evaluate import save_report
from avseg.evaluation.report import Report
from avseg.evaluation.scores import LEAST_CLIPS
from tests.evaluation.reports import LONG_REPORT, MUTED, REPORT, better, clip_of, report_of


def test_clips_that_are_difficult_for_both_models_do_not_widen_the_interval() -> None:
    found = compare({"a": LONG_REPORT, "b": better(LONG_REPORT, 0.1)}).differences["b"]["j"]
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    alone = LONG_REPORT.scores["j"]
    assert alone.low is not None
    assert alone.value - alone.low > 0.02


def test_the_interval_of_a_random_difference_contains_zero() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, len(LONG_REPORT.clips))
    clips = tuple(
        replace(clip, j=clip.j + d) for clip, d in zip(LONG_REPORT.clips, noise, strict=True)
    )
    found = compare({"a": LONG_REPORT, "b": replace(LONG_REPORT, clips=clips)}).differences["b"]
    assert found["j"].low is not None
    assert found["j"].high is not None
    assert found["j"].low < 0 < found["j"].high
    assert found["f"].value == 0


def test_each_model_is_compared_with_the_first() -> None:
    models = {"a": LONG_REPORT, "b": better(LONG_REPORT, 0.1), "c": better(LONG_REPORT, -0.2)}
    comparison = compare(models)
    assert comparison.first == "a"
    values = {name: found["j"].value for name, found in comparison.differences.items()}
    assert values == pytest.approx({"b": 0.1, "c": -0.2})


def test_scores_under_conditions_are_compared_in_pairs_too() -> None:
    clips = tuple(
        replace(clip, conditions={"muted": replace(MUTED, silenced_marked=0.75)})
        for clip in LONG_REPORT.clips
    )
    found = compare({"a": LONG_REPORT, "b": replace(LONG_REPORT, clips=clips)})
    muted = found.condition_differences["b"]["muted"]
    assert (muted["silenced_marked"].low, muted["silenced_marked"].value) == pytest.approx(
        (0.5, 0.5)
    )
    assert muted["iou_with_original"].value == 0.0


def test_a_condition_that_one_report_lacks_is_not_compared() -> None:
    quiet = report_of(*(replace(clip, conditions={}) for clip in LONG_REPORT.clips))
    assert compare({"a": LONG_REPORT, "b": quiet}).condition_differences == {"b": {}}


def test_few_clips_give_a_difference_without_interval() -> None:
    assert len(REPORT.clips) < LEAST_CLIPS
    found = compare({"a": REPORT, "b": better(REPORT, 0.1)}).differences["b"]["j"]
    assert found.value == pytest.approx(0.1)
    assert found.low is None


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(REPORT, split="val"), "split: val and test"),
        (replace(REPORT, subset="s4"), "subset: s4 and ms3"),
        (replace(REPORT, threshold=0.4), "threshold: 0.4 and 0.5"),
        (replace(REPORT, protocols={"cavp": {"j": 0.5, "f": 0.5}}), "protocols: cavp and tpavi"),
        (report_of(clip_of(0, 0.6)), "clips: 1 clips and 2 others"),
        (report_of(clip_of(0, 0.6), clip_of(2, 0.8, 3)), "clips: 2 clips and 2 others"),
        (report_of(clip_of(0, 0.6), clip_of(1, 0.8, 4)), "clips: 2 clips and 2 others"),
    ],
)
def test_reports_with_different_options_or_clips_raise_an_error(other: Report, what: str) -> None:
    with pytest.raises(ReportError, match=f"b and a have different {what}"):
        compare({"a": REPORT, "b": other})


def test_a_single_report_raises_an_error() -> None:
    with pytest.raises(ReportError, match="give at least two"):
        compare({"a": REPORT})


def test_tables_have_a_row_or_a_column_for_each_model() -> None:
    comparison = compare({"a": LONG_REPORT, "b": better(LONG_REPORT, 0.1)})
    scores, differences, *others = comparison.tables()
    assert scores.headings == ("measure", "a", "b")
    assert differences.headings == ("measure", "b")
    for table in (scores, differences, *others):
        assert all(len(row) == len(table.headings) for row in table.rows)
    assert [table.title for table in others][-3:] == [
        "Robustness in one figure",
        "The same frames with replaced audio",
        "Differences from a with replaced audio",
    ]


def test_without_conditions_there_are_no_tables_of_them() -> None:
    quiet = report_of(*(replace(clip, conditions={}) for clip in LONG_REPORT.clips))
    titles = [table.title for table in compare({"a": quiet, "b": quiet}).tables()]
    assert not any("replaced" in title or "Robustness" in title for title in titles)


def test_the_json_has_the_differences() -> None:
    comparison = compare({"a": LONG_REPORT, "b": better(LONG_REPORT, 0.1)})
    facts = json.loads(comparison.to_json())
    assert facts["compared_with"] == "a"
    assert facts["differences"]["b"]["j"]["value"] == pytest.approx(0.1)


def test_a_comparison_is_written_as_tables_differences_and_a_picture(tmp_path: Path) -> None:
    compare({"a": REPORT, "b": better(REPORT, 0.1)}, output=tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"compare.md", "compare.json", "compare.png"}
    assert (tmp_path / "compare.md").read_text().startswith("# 2 models on ms3/test")


def test_folders_of_reports_are_compared_under_the_names_of_their_models(tmp_path: Path) -> None:
    for report in (REPORT, better(REPORT, 0.1)):
        save_report(report, tmp_path / report.model)
    comparison = compare([tmp_path / "small", str(tmp_path / "better")])
    assert list(comparison.reports) == ["small", "better"]
