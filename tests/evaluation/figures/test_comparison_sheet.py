"""The comparison sheet: its clips, and its rows of audio, frames and masks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError, DatasetError
from avseg.evaluation.figures.comparison_sheet import (
    ComparedClip,
    SegmentedClip,
    draw_comparison,
    draw_comparison_sheet,
    find_clips,
    gather_clips,
    most_different,
    segment_clips,
)
from avseg.evaluation.figures.contact_sheet import COLOURS, draw_classes
from avseg.evaluation.prediction import (
    FunctionPredictor,
    Prediction,
    SegmenterPredictor,
    load_predictor,
)
from avseg.segmenter import Segmenter
from avseg.synthavs.classes import SemanticSplit
from tests.segmenters import save_random_text_model


def segmented(masks: NDArray[np.bool_]) -> SegmentedClip:
    return SegmentedClip(0.5, np.packbits(masks), masks.shape)


def compared(models: int = 1, *, sounds: bool = True) -> ComparedClip:
    """Return black frames with ground truth in the lower half, and models that mark the left."""
    truth, masks = np.zeros((2, 2, 80, 80), bool)
    truth[:, 40:] = sounds
    masks[:, :, :40] = True
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    return ComparedClip(
        title="clip",
        seconds=(0, 1),
        sounds=np.stack([tone, 0 * tone]).astype(np.float32),
        sample_rate=8000,
        frames=np.zeros((2, 80, 80, 3), np.uint8),
        truth=truth,
        segmented={f"model {number}": segmented(masks) for number in range(models)},
    )


def test_clips_with_the_largest_differences_are_first() -> None:
    scores = [[0.5, 0.9, 0.1, 0.5], [0.6, 0.2, 0.4, 0.6], [0.5, 0.5, 0.2, 0.5]]
    assert most_different(scores, 3) == [1, 2, 0]
    assert most_different(scores[:1], 2) == [0, 1]


def test_masks_are_unpacked_as_they_were() -> None:
    masks = np.random.default_rng(0).random((3, 5, 7)) > 0.5
    np.testing.assert_array_equal(segmented(masks).masks, masks)


def test_a_model_that_marks_the_ground_truth_scores_one(split: AVSBench) -> None:
    truth = split[1].masks
    done: list[int] = []
    predictor = FunctionPredictor(lambda *_: truth, split.sample_rate)
    right, wrong = segment_clips(predictor, split, [1, 2], on_clip=done.append)
    assert right.j == 1.0
    np.testing.assert_array_equal(right.masks, truth)
    assert wrong.j < 1.0
    assert done == [1, 2]


def test_models_that_differ_in_one_clip_are_compared_in_that_clip(
    split: AVSBench, tmp_path: Path
) -> None:
    def everything(frames: NDArray[np.uint8], _: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ones(frames.shape[:3], np.float32)

    def differs(frames: NDArray[np.uint8], _: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full(frames.shape[:3], not np.array_equal(frames, split[2].clip.frames), float)

    done: list[tuple[int, int]] = []
    sheet = draw_comparison(
        [everything, differs],
        split,
        output=tmp_path / "sheet.png",
        clips=1,
        on_clip=lambda *progress: done.append(progress),
    )
    assert done == [(number, 6) for number in range(1, 7)]
    named = draw_comparison([everything, differs], split, clip=[split.entries[2].name])
    np.testing.assert_array_equal(np.asarray(sheet)[58:], np.asarray(named)[58:])
    with Image.open(tmp_path / "sheet.png") as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(sheet))


def test_a_model_prompted_by_texts_raises_an_error(split: AVSBench, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="prompted by texts"):
        draw_comparison([save_random_text_model(tmp_path)], split, clips=1)


def test_clips_are_found_by_name(split: AVSBench) -> None:
    names = [entry.name for entry in split.entries]
    assert find_clips(split, [names[2], names[0]]) == [2, 0]
    with pytest.raises(DatasetError, match=rf"no clip 'dog'; its first is '{names[0]}'"):
        find_clips(split, ["dog"])


def test_a_clip_is_shown_with_its_sounding_categories(split: AVSBench) -> None:
    clip = split[2]
    (shown,) = gather_clips(split, [2], {"model": [segmented(clip.masks)]})
    assert shown.title.startswith(f"{clip.clip_id}   sounding: ")
    assert shown.sounds.shape == (5, split.sample_rate)
    np.testing.assert_array_equal(shown.sounds.ravel(), clip.clip.audio[: 5 * split.sample_rate])
    np.testing.assert_array_equal(shown.truth, clip.masks)


def test_there_is_a_row_for_each_model_and_a_block_for_each_clip() -> None:
    one, two = (draw_comparison_sheet([compared(models)], "title") for models in (1, 2))
    assert two.height - one.height == 164
    twice = draw_comparison_sheet([compared(), compared()], "title")
    assert twice.height - one.height == one.height - 58


def test_audio_ground_truth_and_masks_are_below_each_other() -> None:
    sheet = np.asarray(draw_comparison_sheet([compared()], "title"))
    begin, strip = sheet.shape[1] - 560, 58 + 44  # two frames are narrower than the legend
    loud, silent = (sheet[strip : strip + 64, begin + n * 164 :][:, :160] for n in (0, 1))
    assert loud.max() > 200
    assert silent.max() < 30
    truth, model = (sheet[strip + 68 + n * 164 :][:160] for n in (1, 2))
    pale = {name: tuple(round(0.5 * level) for level in c) for name, c in COLOURS.items()}
    assert tuple(truth[120, begin + 120]) == pale["right"]
    assert tuple(model[120, begin + 120]) == pale["missed"]
    assert tuple(model[60, begin + 40]) == pale["wrong"]


def test_a_silent_frame_is_labelled() -> None:
    loud, silent = (
        np.asarray(draw_comparison_sheet([compared(sounds=s)], "t")) for s in (True, False)
    )
    row = slice(58 + 44 + 68 + 164, 58 + 44 + 68 + 164 + 22)
    assert (silent[row] > 200).sum() > (loud[row] > 200).sum()


def test_classes_are_drawn_if_the_data_and_the_model_have_them(split: AVSBench) -> None:
    semantic = SemanticSplit.open(split)
    labels = semantic.read(1)[1]
    predicted = replace(segmented(labels > 0), classes=labels)
    models = {"masks": [segmented(labels > 0)], "classes": [predicted]}
    (shown,) = gather_clips(split, [1], models, semantic)
    assert shown.labels is not None
    np.testing.assert_array_equal(shown.labels, labels)
    (plain,) = gather_clips(split, [1], models)
    sheet, without = (draw_comparison_sheet([clip], "title") for clip in (shown, plain))
    assert sheet.height - without.height == 2 * 164  # the truth and the model that tells classes
    truth, model = (np.asarray(sheet)[-14 - 164 * n :][:160, -5 * 164 :] for n in (2, 1))
    np.testing.assert_array_equal(truth, model)


def test_classes_are_predicted_on_request(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = SemanticSplit.open(split).read(1)[1].astype(np.int64)
    logits = torch.from_numpy(np.eye(37, dtype=np.float32)[labels]).permute(0, 3, 1, 2)

    def predict(*arguments: Any) -> Prediction:
        return Prediction(torch.zeros(5, 8, 8), logits if arguments[-1] is not None else None)

    monkeypatch.setattr(SegmenterPredictor, "predict", predict)
    predictor = load_predictor(segmenter, split)
    (without,) = segment_clips(predictor, split, [1])
    (with_classes,) = segment_clips(predictor, split, [1], class_names=("background",))
    assert without.classes is None
    assert with_classes.classes is not None
    np.testing.assert_array_equal(with_classes.classes, labels)


def test_a_class_is_drawn_in_its_colour_with_its_name() -> None:
    labels = np.zeros((160, 160), np.uint8)
    labels[20:140, 20:70], labels[20:140, 90:140] = 1, 2
    frame = np.zeros((160, 160, 3), np.uint8)
    picture = np.asarray(draw_classes(frame, labels, ("background", "dog", "cat")))
    assert not picture[:10].any()
    assert picture[30, 40].any()
    assert (picture[30, 40] != picture[30, 110]).any()
    unnamed = np.asarray(draw_classes(frame, labels, ("background", "", "")))
    changed = (picture != unnamed).any((1, 2)).nonzero()[0]
    assert changed.min() >= 80 - 22
    assert changed.max() <= 80 + 22
