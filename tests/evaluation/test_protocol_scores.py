"""Saved predictions are scored as the predictions of the model itself, without the model."""

import json
from pathlib import Path

import pytest
import torch

from avseg.datasets import AVSBench
from avseg.errors import DatasetError
from avseg.evaluation.prediction_files import PredictionFacts, write_predictions
from avseg.evaluation.protocol_scores import PredictionScores, score
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs


def save(split: AVSBench, folder: Path, clips: int | None = None, frames: int = 5) -> Path:
    """Save the ground-truth masks, a bit too small, as predictions."""
    facts = PredictionFacts("drawn", None, str(split.folder), split.subset, split.split, 0.5)
    with write_predictions(folder, facts) as writer:
        for index in range(len(split) if clips is None else clips):
            clip = split[index]
            masks = torch.from_numpy(clip.masks[:frames])
            smaller = masks & masks.roll(3, dims=2)
            writer.add(clip.clip_id, 6.0 * smaller - 3.0 + masks)
    return folder


@pytest.fixture(scope="module")
def predictions(split: AVSBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save predictions of the small split."""
    return save(split, tmp_path_factory.mktemp("saved") / "predictions")


@pytest.fixture(scope="module")
def scores(predictions: Path, split: AVSBench) -> PredictionScores:
    """Score them by two protocols with the same J, and one of ours."""
    return score(predictions, split, protocol=["tpavi", "av2t-sam", "strict"])


def test_all_protocols_score_the_same_predictions(scores: PredictionScores) -> None:
    assert list(scores.protocols) == ["tpavi", "av2t-sam", "strict"]
    assert scores.protocols["tpavi"]["j"] == scores.protocols["av2t-sam"]["j"]
    assert 0 < scores.protocols["tpavi"]["j"] < 1
    # Sigmoid of -2 is above a threshold; -2 is not.
    assert scores.protocols["tpavi"]["f"] > scores.protocols["av2t-sam"]["f"]
    assert scores.scores.j == pytest.approx(scores.protocols["tpavi"]["j"])


def test_the_table_ends_with_the_range_over_the_published_protocols(
    scores: PredictionScores,
) -> None:
    table = scores.protocol_table()
    assert table.title == "drawn on ms3/test_seen"
    assert table.headings[:3] == ("protocol", "mIoU (J)", "F")
    assert [row[0] for row in table.rows[:2]] == ["AVSBench (TPAVI)", "AV2T-SAM"]
    assert "not with the probabilities" in str(table.rows[1][3])
    published = [scores.protocols[name]["f"] for name in ("tpavi", "av2t-sam")]
    assert table.rows[-1][:3] == (
        "spread: published, all",
        "0.0000",
        f"{max(published) - min(published):.4f}",
    )


def test_the_json_names_code_and_place_of_each_quirk(
    predictions: Path, split: AVSBench, tmp_path: Path
) -> None:
    scores = score(predictions, split, protocol=["av2t-sam"], output=tmp_path / "scores.json")
    facts = json.loads((tmp_path / "scores.json").read_text())
    assert facts["protocols"] == scores.protocols
    assert facts["codes"]["av2t-sam"] == PROTOCOLS["av2t-sam"].code
    assert facts["quirks"]["av2t-sam"][0]["source"].startswith("utility.py: Eval_Fmeasure()")
    assert facts["facts"]["model"] == "drawn"


def test_s4_is_scored_by_category_too(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, SynthavsOptions(subset="s4", clips=2, evaluation_clips=2, side=64), workers=1
    )
    split = AVSBench(tmp_path, "s4", "test_seen", sample_rate=8000)
    scores = score(save(split, tmp_path / "predictions"), tmp_path, protocol=["tpavi"])
    assert set(scores.categories) == {entry.category for entry in split.entries}
    table = scores.category_table("tpavi")
    assert table.headings == ("category", "mIoU (J)", "F")
    assert len(table.rows) == len(scores.categories)
    assert table in scores.tables()


def test_classes_are_scored_if_model_and_data_have_them(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, SynthavsOptions(subset="avss", clips=1, evaluation_clips=1, side=64), workers=1
    )
    split = AVSBench(tmp_path, "avss", "test_seen", sample_rate=8000)
    facts = PredictionFacts("drawn", None, "", "avss", "test_seen", 0.5)
    with write_predictions(tmp_path / "predictions", facts) as writer:
        for clip in split:
            assert clip.labels is not None
            labels = torch.from_numpy(clip.labels).long()
            logits = torch.nn.functional.one_hot(labels, 71).movedim(-1, 1).float()
            writer.add(clip.clip_id, 9.0 * (labels > 0) - 4.0, logits)
    scores = score(tmp_path / "predictions", split, protocol=["tpavi"])
    assert scores.semantic["avss-present"]["j"] == 1.0
    table = scores.tables()[-1]
    assert table.title == "Classes, by published protocols"
    assert len(table.headings) == len(table.rows[0])


@pytest.mark.parametrize(
    ("clips", "frames", "message"),
    [(2, 5, "is of 2 clips.* it lacks '"), (3, 4, "has 4 frames, but 5 of clip")],
)
def test_predictions_of_other_clips_raise_an_error(
    clips: int, frames: int, message: str, split: AVSBench, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        score(save(split, tmp_path / "p", clips, frames), split, protocol=["tpavi"])
