"""Tables: what a reader finds in them."""

from dataclasses import replace

import pytest

from avseg.evaluation.report import SemanticScores
from avseg.evaluation.scores import Interval
from avseg.evaluation.tables import (
    Cell,
    Table,
    brief_tables,
    protocol_groups,
    sentences_of,
    spell,
    spell_short,
    tables_of,
    to_markdown,
)
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS
from tests.evaluation.reports import LONG_REPORT, REPORT


def titled(title: str) -> Table:
    return next(table for table in tables_of(REPORT) if table.title.startswith(title))


def test_the_model_stands_beside_masks_that_need_none() -> None:
    names = [row[0] for row in titled("Scores with").rows]
    assert names == ["small", "*nothing*"]


def test_protocols_that_count_the_whole_set_have_a_table_of_their_own() -> None:
    by_frame, pooled = protocol_groups(REPORT).values()
    assert "tpavi" in by_frame
    assert "cavp" in pooled
    assert not set(by_frame) & set(pooled)


def test_each_protocol_says_what_it_does_otherwise() -> None:
    rows = {row[1]: row for row in titled("Published protocols, frame").rows}
    assert rows["tpavi"][-1] == ""
    assert "above 0.4" in str(rows["gavs"][-1])


def test_each_sound_is_described() -> None:
    ((name, count, *_),) = titled("Does it listen").rows
    assert (name, count) == ("muted: digital silence", "2")


def test_categories_begin_with_the_worst() -> None:
    rows = titled("Scores of each category").rows
    assert [row[0] for row in rows] == ["cat", "dog"]
    assert [row[1] for row in rows] == ["1", "2"]


def test_classes_are_shown_where_they_are_told() -> None:
    scores = {
        name: dict.fromkeys(("j", "f", "j_without_background", "f_without_background"), 0.5)
        for name in SEMANTIC_PROTOCOLS
    }
    classes = {"cat": {"j": 0.5, "f": 0.6, "frames": 9}, "dog": {"j": 0.4, "f": 0.6, "frames": 5}}
    report = replace(REPORT, semantic=SemanticScores(scores, classes))
    tables = {table.title: table for table in tables_of(report)}
    assert [row[0] for row in tables["Scores of each class"].rows] == ["dog", "cat"]
    assert len(tables["Classes, by published protocols"].rows) == len(SEMANTIC_PROTOCOLS)


def test_without_other_sounds_nothing_is_said_of_them() -> None:
    quiet = replace(REPORT, clips=tuple(replace(clip, sounds={}) for clip in REPORT.clips))
    titles = [table.title for table in tables_of(quiet)]
    assert not any("listen" in title.lower() for title in titles)


def test_the_terminal_gets_the_short_tables() -> None:
    for table in brief_tables(REPORT):
        assert all(len(row) == len(table.headings) for row in table.rows)
        assert "category" not in table.title


def test_sentences_say_whether_it_listens() -> None:
    clips, follows = sentences_of(REPORT)
    assert clips == "2 clips, 10 frames, 3 of them silent."
    assert "follows the sound in 95.0% of 40 frames" in follows
    assert len(sentences_of(replace(REPORT, following=None))) == 1


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
def test_cells_are_spelt(cell: Cell, long: str, short: str) -> None:
    assert (spell(cell), spell_short(cell)) == (long, short)


def test_markdown_has_tables_pictures_and_what_made_the_numbers() -> None:
    text = to_markdown(LONG_REPORT, {"F over the threshold": "f_curve.png"})
    assert text.startswith("# small on ms3/test\n")
    assert "| small | 0." in text
    assert "![F over the threshold](f_curve.png)" in text
    assert f"Weights {'ab' * 32}, threshold 0.5, data data/Multi-sources, commit unknown" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
