"""A contact sheet: the clips that a model did worst and best, what it marked and what was true.

T frames of H x W pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.evaluation.prediction import predict
from avseg.evaluation.report import ClipScores, Report
from avseg.segmenter import Segmenter

#: Side of a frame on the sheet, gap between frames and height of a line of text, in pixels.
_SIDE, _GAP, _LINE = 160, 4, 18

#: RGB of the marked pixels and of the outline of the true ones.
_MARKED, _TRUE = (255, 196, 64), (64, 224, 255)

#: How much of the mark's colour covers a marked pixel.
_OPACITY = 0.45


@dataclass(frozen=True)
class SheetRow:
    """One clip on the sheet.

    Attributes:
        label: What is said of it.
        frames: (T, H, W, 3) uint8 RGB.
        masks: What was marked, (T, H, W) bool.
        truth: What was true, (T, H, W) bool.
    """

    label: str
    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    truth: NDArray[np.bool_]


def extreme_clips(
    segmenter: Segmenter, split: AVSBench, report: Report, count: int = 4
) -> list[SheetRow]:
    """Segment the worst and the best clips of a report again.

    Args:
        segmenter: The model that was evaluated.
        split: The data that it was evaluated on.
        report: The report.
        count: How many of the worst, and how many of the best.

    Returns:
        The worst, from the worst on, then the best, the best last; each clip once.
    """
    order = sorted(range(len(split)), key=lambda index: report.clips[index].j_strict)
    chosen = dict.fromkeys((*order[:count], *order[-count:]))
    return [
        _row(segmenter, split[index], report.clips[index], report.threshold) for index in chosen
    ]


def draw_sheet(rows: Iterable[SheetRow]) -> Image.Image:
    """Draw clips below each other: marked pixels in amber, true ones outlined in cyan.

    Args:
        rows: The clips, at least one.

    Returns:
        The picture.
    """
    rows = list(rows)
    columns = max(len(row.frames) for row in rows)
    height = _SIDE + _LINE + _GAP
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) - _GAP, _LINE + len(rows) * height))
    pen = ImageDraw.Draw(sheet)
    pen.text((2, 2), "marked: amber, true: outlined in cyan", fill=(255, 255, 255))
    for number, row in enumerate(rows):
        top = _LINE + _GAP + number * height
        pen.text((2, top + 2), row.label, fill=(255, 255, 255))
        for column in range(len(row.frames)):
            drawn = _draw(row.frames[column], row.masks[column], row.truth[column])
            sheet.paste(drawn, (column * (_SIDE + _GAP), top + _LINE))
    return sheet


def _row(
    segmenter: Segmenter, clip: AnnotatedClip, scores: ClipScores, threshold: float
) -> SheetRow:
    known = clip.annotated
    probs = predict(segmenter, clip.clip).numpy()
    category = f" ({scores.category})" if scores.category else ""
    return SheetRow(
        label=f"{scores.clip_id}{category}: J strict {scores.j_strict:.2f}, F {scores.f:.2f}",
        frames=clip.clip.frames[known],
        masks=probs[known] > threshold,
        truth=clip.masks[known],
    )


def _draw(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> Image.Image:
    picture = Image.fromarray(frame).resize((_SIDE, _SIDE))
    marked, true = (
        Image.fromarray(plane.astype(np.uint8) * np.uint8(255)).resize((_SIDE, _SIDE))
        for plane in (mask, truth)
    )
    tint = Image.new("RGB", picture.size, _MARKED)
    picture.paste(tint, mask=marked.point(lambda level: round(_OPACITY * level)))
    picture.paste(tint, mask=_outline(marked))
    picture.paste(Image.new("RGB", picture.size, _TRUE), mask=_outline(true))
    return picture


def _outline(mask: Image.Image) -> Image.Image:
    """Two pixels along the inner edge of a mask."""
    solid = np.asarray(mask) > 127
    inner = np.asarray(Image.fromarray(solid).convert("L").filter(ImageFilter.MinFilter(5))) > 127
    return Image.fromarray(solid & ~inner)
