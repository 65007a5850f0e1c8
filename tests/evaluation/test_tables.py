"""Tables of a report: their rows, columns and cells."""

from dataclasses import replace

import pytest

from avseg.evaluation.report import SemanticScores
from avseg.evaluation.scores import Interval
from avseg.evaluation.tables import (
    Cell,
    Table,
    brief_tables,
    format_cell,
    format_cell_briefly,
    full_tables,
    protocol_groups,
    summary_sentences,
    to_markdown,
)
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS
from tests.evaluation.reports import LONG_REPORT, REPORT


def titled(title: str) -> Table:
    return next(table for table in full_tables(REPORT) if table.title.startswith(title))


def test_the_model_is_listed_with_masks_made_without_a_model() -> None:
    names = [row[0] for row in titled("Scores with").rows]
    assert names == ["small", "*nothing*"]


def test_protocols_that_pool_pixels_have_a_table_of_their_own() -> None:
    by_frame, pooled = protocol_groups(REPORT).values()
    assert "tpavi" in by_frame
    assert "cavp" in pooled
    assert not set(by_frame) & set(pooled)


def test_each_protocol_is_listed_with_its_quirks() -> None:
    rows = {row[1]: row for row in titled("Published protocols, frame").rows}
    assert rows["tpavi"][-1] == ""
    assert "above 0.4" in str(rows["gavs"][-1])


def test_each_condition_is_listed_with_its_description() -> None:
    ((name, count, *_),) = titled("Robustness: the same").rows
    assert (name, count) == ("muted: digital silence", "2")


def test_the_category_with_the_lowest_j_is_first() -> None:
    rows = titled("Scores of each category").rows
    assert [row[0] for row in rows] == ["cat", "dog"]
    assert [row[1] for row in rows] == ["1", "2"]


def test_classes_have_tables_if_the_model_predicts_them() -> None:
    scores = {
        name: dict.fromkeys(("j", "f", "j_without_background", "f_without_background"), 0.5)
        for name in SEMANTIC_PROTOCOLS
    }
    classes = {"cat": {"j": 0.5, "f": 0.6, "frames": 9}, "dog": {"j": 0.4, "f": 0.6, "frames": 5}}
    report = replace(REPORT, semantic=SemanticScores(scores, classes))
    tables = {table.title: table for table in full_tables(report)}
    assert [row[0] for row in tables["Scores of each class"].rows] == ["dog", "cat"]
    assert len(tables["Classes, by published protocols"].rows) == len(SEMANTIC_PROTOCOLS)


def test_without_conditions_there_are_no_tables_of_them() -> None:
    quiet = replace(REPORT, clips=tuple(replace(clip, conditions={}) for clip in REPORT.clips))
    titles = [table.title for table in full_tables(quiet)]
    assert not any("robustness" in title.lower() for title in titles)


def test_brief_tables_omit_categories() -> None:
    for table in brief_tables(REPORT):
        assert all(len(row) == len(table.headings) for row in table.rows)
        assert "category" not in table.title


def test_a_sentence_states_whether_the_mask_follows_the_audio() -> None:
    clips, follows = summary_sentences(REPORT)
    assert clips == "2 clips, 10 frames, 3 of them silent."
    assert "follows the audio in 95.0% of 40 frames" in follows
    assert len(summary_sentences(replace(REPORT, following=None))) == 1


@pytest.mark.parametrize(
    ("cell", "long", "short"),
    [
        (None, "-", "-"),
        ("dog", "dog", "dog"),
        ("", "", ""),
        (0.12345, "0.123", "0.123"),
        (Interval(0.5, 0.25, 0.75), "0.500 [0.250, 0.750]", "0.500"),
        (Interval(0.5), "0.500", "0.500"),
    ],
)
def test_cells_are_formatted_with_and_without_intervals(cell: Cell, long: str, short: str) -> None:
    assert (format_cell(cell), format_cell_briefly(cell)) == (long, short)


def test_markdown_has_tables_pictures_and_provenance() -> None:
    text = to_markdown(LONG_REPORT, {"F over the threshold": "f_curve.png"})
    assert text.startswith("# small on ms3/test\n")
    assert "| small | 0." in text
    assert "![F over the threshold](f_curve.png)" in text
    assert f"Weights {'ab' * 32}, threshold 0.5, data data/Multi-sources, commit unknown" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
