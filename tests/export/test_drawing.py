"""Drawing on frames, checked plane by plane."""

import tracemalloc
from dataclasses import astuple

import numpy as np
import pytest

from avseg.export.drawing import LIGHT, PAST, TRACK, Canvas, Colour, MaskDrawing, Timeline, tint_of


def grey_canvas(height: int = 90, width: int = 120) -> Canvas:
    canvas = Canvas.blank(height, width)
    canvas.packed[:] = 128
    return canvas


def test_white_and_black_are_the_ends_of_limited_range() -> None:
    assert astuple(Colour.from_rgb(255, 255, 255)) == pytest.approx((235, 128, 128))
    assert astuple(Colour.from_rgb(0, 0, 0)) == pytest.approx((16, 128, 128))


def test_pure_blue_and_red_reach_the_ends_of_their_chroma() -> None:
    assert Colour.from_rgb(0, 0, 255).blue == pytest.approx(240, abs=0.01)
    assert Colour.from_rgb(255, 0, 0).red == pytest.approx(240, abs=0.01)


def test_the_planes_of_a_canvas_lie_one_after_the_other_in_memory() -> None:
    canvas = Canvas.blank(4, 6)
    canvas.luma[:], canvas.blue[:], canvas.red[:] = 1, 2, 3
    assert canvas.packed.ravel().tolist() == 24 * [1] + 6 * [2] + 6 * [3]


def test_far_from_the_mask_the_frame_is_darkened_evenly() -> None:
    mask = np.zeros((90, 120), dtype=np.bool_)
    mask[40:50, 50:70] = True
    canvas = grey_canvas()
    MaskDrawing(mask).draw(canvas)
    corner = canvas.luma[:10, :10]
    assert corner.min() == corner.max() < 90


@pytest.mark.parametrize("corner", [(0, 0), (0, 118), (88, 0), (88, 118)])
def test_the_glow_of_a_mask_has_no_visible_edge(corner: tuple[int, int]) -> None:
    mask = np.zeros((90, 120), np.bool_)
    row, column = corner
    mask[row : row + 2, column : column + 2] = True
    canvas = grey_canvas()
    MaskDrawing(mask).draw(canvas)
    canvas.luma[max(0, row - 6) : row + 8, max(0, column - 6) : column + 8] = 0  # the mask itself
    steps = np.abs(np.diff(canvas.luma.astype(int), axis=1))
    steps[(canvas.luma[:, 1:] == 0) | (canvas.luma[:, :-1] == 0)] = 0
    assert steps.max() <= 2


def test_deep_inside_a_mask_the_frame_is_only_tinted() -> None:
    canvas = grey_canvas()
    MaskDrawing(np.ones((90, 120), dtype=np.bool_)).draw(canvas)
    luma, blue = canvas.luma[45, 60], canvas.blue[22, 30]
    assert 128 < luma < 140
    assert 110 < blue < 128  # a little yellow


def test_each_source_is_tinted_in_its_own_colour() -> None:
    labels = np.ones((90, 120), np.uint8)
    labels[:, 60:] = 2
    canvas = grey_canvas()
    MaskDrawing(labels).draw(canvas)
    amber, sky = canvas.blue[22, 10], canvas.blue[22, 50]
    assert amber < 128 < sky


def test_a_single_named_source_looks_like_an_unnamed_one() -> None:
    mask = np.zeros((90, 120), np.bool_)
    mask[30:60, 30:60] = True
    plain, numbered = grey_canvas(), grey_canvas()
    MaskDrawing(mask).draw(plain)
    MaskDrawing(mask.astype(np.uint8)).draw(numbered)
    np.testing.assert_array_equal(plain.packed, numbered.packed)


def test_neighbouring_numbers_never_share_a_colour() -> None:
    tints = [tint_of(number) for number in range(1, 20)]
    assert all(tints[k] not in tints[k + 1 : k + 8] for k in range(10))
    assert tints[0] == tints[8]


def test_the_same_masks_can_be_drawn_repeatedly() -> None:
    mask = np.zeros((90, 120), dtype=np.bool_)
    mask[30:60, 30:60] = True
    look, first, second = MaskDrawing(mask), grey_canvas(), grey_canvas()
    look.draw(first)
    look.draw(second)
    np.testing.assert_array_equal(first.packed, second.packed)


def test_the_brightest_and_darkest_pixels_do_not_wrap_around() -> None:
    mask = np.zeros((90, 120), dtype=np.bool_)
    mask[30:60, 30:60] = True
    white, black = grey_canvas(), grey_canvas()
    white.luma[:], black.luma[:] = 255, 0
    look = MaskDrawing(mask)
    look.draw(white)
    look.draw(black)
    assert (white.luma >= black.luma).all()


def test_the_timeline_fills_from_the_left_and_marks_sounding_times() -> None:
    timeline, canvas = Timeline(90, 120), grey_canvas()
    timeline.advance(0.25, sounding=True)
    timeline.advance(0.5, sounding=False)
    timeline.draw(canvas)
    row = canvas.luma[-1]
    assert (row[:30] == round(LIGHT.luma)).all()
    assert (row[30:60] == round(PAST.luma)).all()
    assert (row[60:] == round(TRACK.luma)).all()
    assert (canvas.luma[:80] == 128).all()


def test_the_timeline_ends_at_the_right_edge_if_the_video_is_longer_than_announced() -> None:
    timeline, canvas = Timeline(90, 120), grey_canvas()
    timeline.advance(1.0, sounding=False)
    timeline.advance(1.2, sounding=True)
    timeline.draw(canvas)
    assert (canvas.luma[-1] == round(PAST.luma)).all()


@pytest.mark.parametrize("kept_pixels", [0, 2**23])
def test_bands_of_rows_are_drawn_like_the_whole_frame(
    kept_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((400, 100), np.uint8)
    labels[100:180, 20:60], labels[170:300, 50:90] = 1, 2
    whole, in_bands = grey_canvas(400, 100), grey_canvas(400, 100)
    MaskDrawing(labels).draw(whole)
    monkeypatch.setattr("avseg.export.drawing.BAND_PIXELS", 3000)
    monkeypatch.setattr("avseg.export.drawing.KEPT_PIXELS", kept_pixels)
    MaskDrawing(labels).draw(in_bands)
    np.testing.assert_array_equal(in_bands.packed, whole.packed)


def test_many_sources_are_drawn_in_the_memory_of_a_few() -> None:
    def peak(count: int) -> int:
        labels = (np.arange(200 * 300) % count + 1).astype(np.uint8).reshape(200, 300)
        tracemalloc.start()
        MaskDrawing(labels).draw(grey_canvas(200, 300))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(1)  # what is allocated once
    assert peak(40) < 1.3 * peak(8)
