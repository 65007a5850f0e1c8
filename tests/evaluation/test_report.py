"""Reports: what a reader finds in them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from avseg.errors import OutputError
from avseg.evaluation.listening import FollowingScores
from avseg.evaluation.report import ClipScores, PerturbedScores, Report, save_report
from avseg.metrics import BinaryScores

SCORES = BinaryScores(
    j=0.7,
    j_sounding=0.6,
    j_strict=0.65,
    f=0.8,
    f_at_threshold=0.75,
    dataset_iou=0.5,
    dataset_miou=0.7,
    silent_clean=0.9,
    false_positive_area=0.01,
    clip_count=2,
    frame_count=10,
    silent_count=3,
)
MUTED = replace(SCORES, j_sounding=None, f=0.0, silent_clean=0.75, silent_count=10)
REPORT = Report(
    model="small",
    weights_sha256="ab" * 32,
    data="data/Multi-sources",
    subset="ms3",
    split="test",
    threshold=0.5,
    scores=SCORES,
    perturbed={"muted": PerturbedScores(MUTED, unmoved=0.1)},
    baselines={"nothing": replace(SCORES, j=0.3)},
    following=FollowingScores(0.95, 0.7, 0.05, scene_count=4, frame_count=40),
    clips=(ClipScores("clip-1", None, 0.7, 0.65, 0.8, 7),),
    seconds=12.3,
    environment={"commit": None, "device": "cpu"},
)


def test_the_table_has_a_row_for_each_sound_and_baseline() -> None:
    headings, rows = REPORT.table()
    assert headings[1:] == (
        "mIoU (J)",
        "J sounding",
        "J strict",
        "F",
        "silent clean",
        "marked in silence",
    )
    assert rows[0] == ("small", "0.700", "0.600", "0.650", "0.800", "0.900", "0.010")
    assert [name for name, *_ in rows] == ["small", "small, muted", "nothing"]


def test_a_row_without_sounding_frames_has_no_f() -> None:
    _, rows = REPORT.table()
    assert rows[1] == ("small, muted", "0.700", "-", "0.650", "-", "0.750", "0.010")


def test_sentences_say_whether_it_listens() -> None:
    sentences = REPORT.sentences()
    assert sentences[0] == "2 clips, 10 frames, 3 of them silent."
    assert sentences[1].startswith("Sound muted: 25.0% of the frames marked, 1.00% of their area;")
    assert "follows the sound in 95.0% of 40 frames" in sentences[2]


def test_where_following_cannot_be_measured_nothing_is_said_of_it() -> None:
    assert len(replace(REPORT, following=None).sentences()) == 2


def test_files_hold_the_same_figures(tmp_path: Path) -> None:
    save_report(REPORT, tmp_path / "report", Image.new("RGB", (4, 4)))
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json",
        "report.md",
        "clips.png",
    }
    saved = json.loads((tmp_path / "report" / "report.json").read_text())
    assert saved["schema_version"] == 1
    assert saved["scores"]["j"] == 0.7
    assert saved["perturbed"]["muted"]["scores"]["silent_clean"] == 0.75
    assert saved["clips"][0]["clip_id"] == "clip-1"
    table = (tmp_path / "report" / "report.md").read_text()
    assert "| small | 0.700 | 0.600 |" in table
    assert f"Weights {'ab' * 32}, threshold 0.5, commit unknown, cpu, 12 s." in table


def test_a_report_can_be_written_again_and_without_a_sheet(tmp_path: Path) -> None:
    save_report(REPORT, tmp_path)
    save_report(replace(REPORT, model="other"), tmp_path)
    assert (tmp_path / "report.md").read_text().startswith("# other on ms3/test")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_report(REPORT, tmp_path / "file" / "report")
