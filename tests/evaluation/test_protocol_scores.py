"""Saved predictions are scored as the model's own are, without the model."""

import json
from pathlib import Path

import pytest
import torch

from avseg.datasets import AVSBench
from avseg.errors import DatasetError
from avseg.evaluation.prediction_files import (
    PredictionFacts,
    Predictions,
    read_predictions,
    write_predictions,
)
from avseg.evaluation.protocol_scores import Rescored, rescore, save_scores
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.synthavs.clips import SynthavsOptions
from avseg.synthavs.writer import write_synthavs


def save(split: AVSBench, folder: Path, clips: int | None = None, frames: int = 5) -> Predictions:
    """Save the true masks, a bit too small, as predictions."""
    facts = PredictionFacts("drawn", None, str(split.folder), split.subset, split.split, 0.5)
    with write_predictions(folder, facts) as writer:
        for index in range(len(split) if clips is None else clips):
            clip = split[index]
            masks = torch.from_numpy(clip.masks[:frames])
            smaller = masks & masks.roll(3, dims=2)
            writer.add(clip.clip_id, 6.0 * smaller - 3.0 + masks)
    return read_predictions(folder)


@pytest.fixture(scope="module")
def predictions(split: AVSBench, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    """Predictions of the small split."""
    return save(split, tmp_path_factory.mktemp("saved") / "predictions")


@pytest.fixture(scope="module")
def rescored(predictions: Predictions, split: AVSBench) -> Rescored:
    """Their scores by two protocols that agree on J, and one of ours."""
    return rescore(predictions, split, ["tpavi", "av2t-sam", "strict"])


def test_all_protocols_score_the_same_predictions(rescored: Rescored) -> None:
    assert list(rescored.protocols) == ["tpavi", "av2t-sam", "strict"]
    assert rescored.protocols["tpavi"]["j"] == rescored.protocols["av2t-sam"]["j"]
    assert 0 < rescored.protocols["tpavi"]["j"] < 1
    # Sigmoid of -2 is above a threshold; -2 is not.
    assert rescored.protocols["tpavi"]["f"] > rescored.protocols["av2t-sam"]["f"]
    assert rescored.scores.j == pytest.approx(rescored.protocols["tpavi"]["j"])


def test_the_table_ends_with_the_spread_of_the_published_protocols(rescored: Rescored) -> None:
    headings, rows = rescored.table()
    assert headings[:3] == ("protocol", "mIoU (J)", "F")
    assert [row[0] for row in rows[:2]] == ["AVSBench (TPAVI)", "AV2T-SAM"]
    assert "not with the probabilities" in rows[1][3]
    published = [rescored.protocols[name]["f"] for name in ("tpavi", "av2t-sam")]
    assert rows[-1][:3] == (
        "spread: published, all",
        "0.0000",
        f"{max(published) - min(published):.4f}",
    )


def test_the_json_names_code_and_source_of_each_quirk(rescored: Rescored, tmp_path: Path) -> None:
    save_scores(rescored, tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["protocols"] == rescored.protocols
    assert scores["codes"]["av2t-sam"] == PROTOCOLS["av2t-sam"].code
    assert scores["quirks"]["av2t-sam"][0]["source"].startswith("utility.py: Eval_Fmeasure()")
    assert scores["facts"]["model"] == "drawn"


def test_s4_is_scored_by_category_too(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, SynthavsOptions(subset="s4", clips=2, evaluation_clips=2, side=64), workers=1
    )
    split = AVSBench(tmp_path, "s4", "test_seen", sample_rate=8000)
    rescored = rescore(save(split, tmp_path / "predictions"), split, ["tpavi"])
    assert set(rescored.categories) == {entry.category for entry in split.entries}
    headings, rows = rescored.category_table("tpavi")
    assert headings == ("category", "mIoU (J)", "F")
    assert len(rows) == len(rescored.categories)


def test_classes_are_scored_where_model_and_data_have_them(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, SynthavsOptions(subset="avss", clips=1, evaluation_clips=1, side=64), workers=1
    )
    split = AVSBench(tmp_path, "avss", "test_seen", sample_rate=8000)
    facts = PredictionFacts("drawn", None, "", "avss", "test_seen", 0.5)
    with write_predictions(tmp_path / "predictions", facts) as writer:
        for clip in split:
            assert clip.labels is not None
            true = torch.from_numpy(clip.labels).long()
            logits = torch.nn.functional.one_hot(true, 71).movedim(-1, 1).float()
            writer.add(clip.clip_id, 9.0 * (true > 0) - 4.0, logits)
    rescored = rescore(read_predictions(tmp_path / "predictions"), split, ["tpavi"])
    assert rescored.semantic["avss-present"]["j"] == 1.0
    headings, rows = rescored.semantic_table()
    assert len(headings) == len(rows[0])


@pytest.mark.parametrize(
    ("clips", "frames", "message"),
    [(2, 5, "is of 2 clips.* it lacks '"), (3, 4, "has 4 frames, but 5 of clip")],
)
def test_predictions_of_other_clips_are_refused(
    clips: int, frames: int, message: str, split: AVSBench, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        rescore(save(split, tmp_path / "p", clips, frames), split, ["tpavi"])
