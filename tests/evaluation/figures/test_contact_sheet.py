"""The contact sheet: its clips, and the colours of their pixels."""

from dataclasses import replace

import numpy as np

from avseg.datasets import AVSBench
from avseg.evaluation.figures.contact_sheet import COLOURS, SheetClip, draw_sheet, extreme_clips
from avseg.evaluation.prediction import SegmenterPredictor
from avseg.evaluation.scores import ClipScores
from avseg.segmenter import Segmenter
from tests.evaluation.reports import clip_of, report_of

BLACK = (0, 0, 0)


def row(frames: int, *, sounds: bool = True) -> SheetClip:
    """Return black frames with the left half marked, and the lower half as ground truth."""
    masks, truth = np.zeros((2, frames, 80, 80), bool)
    masks[:, :, :40] = True
    truth[:, 40:] = sounds
    return SheetClip("clip", np.zeros((frames, 80, 80, 3), np.uint8), masks, truth)


def test_right_wrong_and_missed_pixels_have_colours_of_their_own() -> None:
    sheet = draw_sheet({"worst": [row(1)]})
    frame = sheet.crop((0, sheet.height - 164, 160, sheet.height - 4))
    places = {"wrong": (40, 60), "right": (40, 120), "missed": (120, 120)}
    for name, place in places.items():
        tinted = frame.getpixel(place)
        assert isinstance(tinted, tuple)
        assert tinted == tuple(round(0.5 * level) for level in COLOURS[name]), name
    assert frame.getpixel((78, 100)) == COLOURS["right"]
    assert frame.getpixel((120, 40)) == BLACK


def test_a_silent_frame_is_labelled() -> None:
    sounding, silent = (draw_sheet({"worst": [row(1, sounds=s)]}) for s in (True, False))
    corner = (85, sounding.height - 164, 125, sounding.height - 144)
    assert np.asarray(sounding.crop(corner)).max() == 0
    assert np.asarray(silent.crop(corner)).max() > 200


def test_there_is_a_row_for_each_clip_and_a_column_for_each_frame() -> None:
    one = draw_sheet({"worst": [row(2)]})
    two = draw_sheet({"worst": [row(2)], "best": [row(5)]})
    assert one.width == 2 * 164 - 4
    assert two.width == 5 * 164 - 4
    assert two.height - one.height == 186 + 22


def names(split: AVSBench, segmenter: Segmenter, clips: list[ClipScores], count: int) -> list[str]:
    sections = extreme_clips(SegmenterPredictor(segmenter), split, report_of(*clips), count)
    assert list(sections) == ["worst", "best"]
    return [row.label.split()[0] for section in sections.values() for row in section]


def test_the_worst_and_the_best_clips_are_shown_once_each(
    split: AVSBench, segmenter: Segmenter
) -> None:
    clips = [clip_of(n, j) for n, j in enumerate((0.5, 0.1, 0.9))]
    assert names(split, segmenter, clips, 1) == ["clip-1", "clip-2"]
    assert names(split, segmenter, clips, 4) == ["clip-1", "clip-0", "clip-2"]


def test_a_silent_clip_is_never_the_best(split: AVSBench, segmenter: Segmenter) -> None:
    clips = [clip_of(0, 0.5), clip_of(1, 0.1), clip_of(2, 1.0, silent_frames=5)]
    assert names(split, segmenter, clips, 1) == ["clip-1", "clip-0"]


def test_the_masks_of_the_model_are_shown(split: AVSBench, segmenter: Segmenter) -> None:
    report = report_of(*(replace(clip_of(n, 0.5), categories=("dog",)) for n in range(3)))
    shown = extreme_clips(SegmenterPredictor(segmenter), split, report, 1)["worst"][0]
    assert shown.masks.shape == shown.truth.shape == (5, 64, 64)
    assert shown.label == "clip-0 (dog): J strict 0.50, F 0.50"
    np.testing.assert_array_equal(shown.truth, split[0].masks)
