"""The contact sheet: which clips are on it, and what is drawn."""

from dataclasses import replace

import numpy as np

from avseg.datasets import AVSBench
from avseg.evaluation.report import ClipScores
from avseg.evaluation.sheet import SheetRow, draw_sheet, extreme_clips
from avseg.segmenter import Segmenter
from tests.evaluation.test_report import REPORT

AMBER, CYAN, BLACK = (255, 196, 64), (64, 224, 255), (0, 0, 0)


def row(frames: int) -> SheetRow:
    """Black frames; the left half is marked, the lower half true."""
    masks, truth = np.zeros((2, frames, 80, 80), bool)
    masks[:, :, :40] = True
    truth[:, 40:] = True
    return SheetRow("clip", np.zeros((frames, 80, 80, 3), np.uint8), masks, truth)


def test_marked_pixels_are_amber_and_true_ones_outlined_in_cyan() -> None:
    sheet = draw_sheet([row(1)])
    frame = sheet.crop((0, sheet.height - 160, 160, sheet.height))
    tinted = frame.getpixel((40, 40))
    assert isinstance(tinted, tuple)
    assert all(0 < a < b for a, b in zip(tinted, AMBER, strict=True))
    assert frame.getpixel((79, 40)) == AMBER
    assert frame.getpixel((120, 80)) == CYAN
    assert frame.getpixel((120, 40)) == BLACK
    assert frame.getpixel((120, 120)) == BLACK


def test_there_is_a_row_for_each_clip_and_a_column_for_each_frame() -> None:
    one, two = draw_sheet([row(2)]), draw_sheet([row(2), row(5)])
    assert one.width == 2 * 164 - 4
    assert two.width == 5 * 164 - 4
    assert two.height - one.height == 182


def test_the_worst_come_first_and_the_best_last_each_once(
    split: AVSBench, segmenter: Segmenter
) -> None:
    scores = (0.5, 0.1, 0.9)
    clips = tuple(
        ClipScores(entry.name, None, j, j, 0.0, 5)
        for entry, j in zip(split.entries, scores, strict=True)
    )
    report = replace(REPORT, clips=clips)

    def names(count: int) -> list[str]:
        rows = extreme_clips(segmenter, split, report, count)
        return [row.label.split(":")[0] for row in rows]

    worst, middle, best = (split.entries[i].name for i in (1, 0, 2))
    assert names(1) == [worst, best]
    assert names(4) == [worst, middle, best]
    assert extreme_clips(segmenter, split, report, 1)[0].masks.shape == (5, 64, 64)
