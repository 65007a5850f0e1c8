"""The comparison sheet: which clips are on it, and what is drawn."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError, DatasetError
from avseg.evaluation.figures import comparison_sheet as gallery
from avseg.evaluation.figures.comparison_sheet import (
    ComparedClip,
    MarkedClip,
    draw_gallery,
    find_clips,
    gather_clips,
    mark_clips,
    most_different,
)
from avseg.evaluation.figures.contact_sheet import COLOURS, paint_classes
from avseg.evaluation.prediction import Prediction
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.classes import SemanticSplit
from tests.segmenters import save_random_text_model


def marked(masks: NDArray[np.bool_]) -> MarkedClip:
    return MarkedClip(0.5, np.packbits(masks), masks.shape)


def compared(models: int = 1, *, sounds: bool = True) -> ComparedClip:
    """Two black frames whose lower half is true, and models that mark the left half."""
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
        marked={f"model {number}": marked(masks) for number in range(models)},
    )


def test_clips_are_shown_on_which_the_scores_lie_widest_apart() -> None:
    scores = [[0.5, 0.9, 0.1, 0.5], [0.6, 0.2, 0.4, 0.6], [0.5, 0.5, 0.2, 0.5]]
    assert most_different(scores, 3) == [1, 2, 0]
    assert most_different(scores[:1], 2) == [0, 1]


def test_masks_are_as_they_were_before_packing() -> None:
    masks = np.random.default_rng(0).random((3, 5, 7)) > 0.5
    np.testing.assert_array_equal(marked(masks).masks, masks)


def test_who_marks_the_truth_scores_one(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = torch.from_numpy(split[1].masks)
    monkeypatch.setattr(gallery, "predict", lambda *_: Prediction(20 * truth.float() - 10, None))
    shares: list[float] = []
    right, wrong = mark_clips(segmenter, split, [1, 2], on_progress=shares.append)
    assert right.j == 1.0
    np.testing.assert_array_equal(right.masks, truth)
    assert wrong.j < 1.0
    assert shares == [0.5, 1.0]


def test_a_model_that_does_not_listen_is_refused(
    split: AVSBench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = save_random_text_model(tmp_path_factory.mktemp("texts"))
    with pytest.raises(CheckpointError, match="prompted by texts"):
        mark_clips(load_segmenter(folder, device="cpu"), split, [0])


def test_clips_are_found_by_name(split: AVSBench) -> None:
    names = [entry.name for entry in split.entries]
    assert find_clips(split, [names[2], names[0]]) == [2, 0]
    with pytest.raises(DatasetError, match=rf"no clip 'dog'; its first is '{names[0]}'"):
        find_clips(split, ["dog"])


def test_a_clip_is_shown_with_what_sounds_in_it(split: AVSBench) -> None:
    clip = split[2]
    (shown,) = gather_clips(split, [2], {"model": [marked(clip.masks)]})
    assert shown.title.startswith(f"{clip.clip_id}   sounding: ")
    assert shown.sounds.shape == (5, split.sample_rate)
    np.testing.assert_array_equal(shown.sounds.ravel(), clip.clip.audio[: 5 * split.sample_rate])
    np.testing.assert_array_equal(shown.truth, clip.masks)


def test_there_is_a_row_for_each_model_and_a_block_for_each_clip() -> None:
    one, two = (draw_gallery([compared(models)], "title") for models in (1, 2))
    assert two.height - one.height == 164
    twice = draw_gallery([compared(), compared()], "title")
    assert twice.height - one.height == one.height - 58


def test_sound_truth_and_masks_lie_below_each_other() -> None:
    sheet = np.asarray(draw_gallery([compared()], "title"))
    begin, strip = sheet.shape[1] - 560, 58 + 44  # two frames are narrower than the legend
    loud, silent = (sheet[strip : strip + 64, begin + n * 164 :][:, :160] for n in (0, 1))
    assert loud.max() > 200
    assert silent.max() < 30
    truth, model = (sheet[strip + 68 + n * 164 :][:160] for n in (1, 2))
    pale = {name: tuple(round(0.5 * level) for level in c) for name, c in COLOURS.items()}
    assert tuple(truth[120, begin + 120]) == pale["right"]
    assert tuple(model[120, begin + 120]) == pale["missed"]
    assert tuple(model[60, begin + 40]) == pale["wrong"]


def test_a_frame_in_which_nothing_sounds_says_so() -> None:
    loud, silent = (np.asarray(draw_gallery([compared(sounds=s)], "t")) for s in (True, False))
    row = slice(58 + 44 + 68 + 164, 58 + 44 + 68 + 164 + 22)
    assert (silent[row] > 200).sum() > (loud[row] > 200).sum()


def test_pixels_are_drawn_by_name_where_the_data_and_the_model_tell_it(split: AVSBench) -> None:
    classed = SemanticSplit.open(split)
    labels = classed.read(1)[1]
    told = replace(marked(labels > 0), classes=labels)
    models = {"masks": [marked(labels > 0)], "classes": [told]}
    (shown,) = gather_clips(split, [1], models, classed)
    assert shown.labels is not None
    np.testing.assert_array_equal(shown.labels, labels)
    (plain,) = gather_clips(split, [1], models)
    sheet, without = (draw_gallery([clip], "title") for clip in (shown, plain))
    assert sheet.height - without.height == 2 * 164  # the truth and the model that tells classes
    truth, model = (np.asarray(sheet)[-14 - 164 * n :][:160, -5 * 164 :] for n in (2, 1))
    np.testing.assert_array_equal(truth, model)


def test_a_model_is_asked_for_classes_if_they_are_wanted(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = SemanticSplit.open(split).read(1)[1].astype(np.int64)
    logits = torch.from_numpy(np.eye(37, dtype=np.float32)[labels]).permute(0, 3, 1, 2)

    def predict(*asked: Any) -> Prediction:
        return Prediction(torch.zeros(5, 8, 8), logits if asked[-1] is not None else None)

    monkeypatch.setattr(gallery, "predict", predict)
    (without,) = mark_clips(segmenter, split, [1])
    (with_classes,) = mark_clips(segmenter, split, [1], class_names=("background",))
    assert without.classes is None
    assert with_classes.classes is not None
    np.testing.assert_array_equal(with_classes.classes, labels)


def test_a_class_has_its_colour_and_its_name() -> None:
    labels = np.zeros((160, 160), np.uint8)
    labels[20:140, 20:70], labels[20:140, 90:140] = 1, 2
    frame = np.zeros((160, 160, 3), np.uint8)
    picture = np.asarray(paint_classes(frame, labels, ("background", "dog", "cat")))
    assert not picture[:10].any()
    assert picture[30, 40].any()
    assert (picture[30, 40] != picture[30, 110]).any()
    unnamed = np.asarray(paint_classes(frame, labels, ("background", "", "")))
    changed = (picture != unnamed).any((1, 2)).nonzero()[0]
    assert changed.min() >= 80 - 22
    assert changed.max() <= 80 + 22
