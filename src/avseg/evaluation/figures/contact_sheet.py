"""A contact sheet: the clips that a model did worst and best, what it marked and what was true.

T frames of H x W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.palette import class_palette
from avseg.evaluation.prediction import predict, read_waveform
from avseg.evaluation.report import Report
from avseg.segmenter import Segmenter

#: Side of a frame on the sheet, gap between frames and height of a line of text, in pixels.
SIDE, GAP, LINE = 160, 4, 22

#: What a pixel may be -> its RGB, told apart by the colour-blind too (Okabe and Ito).
COLOURS = {"right": (0, 200, 140), "wrong": (240, 90, 0), "missed": (60, 160, 255)}

#: How much of its colour covers such a pixel, and how much of the frames' own colours is left.
_OPACITY, _SATURATION = 0.5, 0.25

#: Colour of what is written.
INK = (255, 255, 255)


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
    segmenter: Segmenter, split: AVSBench, report: Report, count: int = 5
) -> dict[str, list[SheetRow]]:
    """Segment the worst and the best clips of a report again.

    The worst are those with the lowest J, silent frames all or nothing. The best are chosen by the
    frames that are not silent: clips in which there was nothing to mark show little.

    Args:
        segmenter: The model that was evaluated.
        split: The data that it was evaluated on.
        report: The report.
        count: How many of the worst, and how many of the best.

    Returns:
        "worst", from the worst on, and "best", from the best on; each clip once.
    """
    clips = report.clips
    worst = sorted(range(len(clips)), key=lambda index: clips[index].j_strict)[:count]
    best = sorted(
        (i for i, clip in enumerate(clips) if clip.j_sounding is not None and i not in worst),
        key=lambda index: clips[index].j_sounding or 0.0,
        reverse=True,
    )[:count]
    return {
        name: [_row(segmenter, split, report, index) for index in chosen]
        for name, chosen in (("worst", worst), ("best", best))
    }


def draw_sheet(sections: Mapping[str, Sequence[SheetRow]]) -> Image.Image:
    """Draw clips below each other, with a heading for each section.

    Args:
        sections: Clips by heading, at least one.

    Returns:
        The picture.
    """
    rows = [row for section in sections.values() for row in section]
    columns = max(len(row.frames) for row in rows)
    height = LINE * (1 + len(sections)) + len(rows) * (LINE + SIDE + GAP)
    sheet = Image.new("RGB", (columns * (SIDE + GAP) - GAP, height))
    pen = ImageDraw.Draw(sheet)
    left = 4
    for name, colour in COLOURS.items():
        left = write_line(pen, (left, 3), name, colour) + 12
    top = LINE
    for name, section in sections.items():
        write_line(pen, (4, top + 3), name.upper(), INK)
        top += LINE
        for row in section:
            write_line(pen, (4, top + 3), row.label, INK)
            _paste_frames(sheet, row, top + LINE)
            top += LINE + SIDE + GAP
    return sheet


def _row(segmenter: Segmenter, split: AVSBench, report: Report, index: int) -> SheetRow:
    clip, scores = split[index], report.clips[index]
    known = clip.annotated
    frames = clip.clip.frames[known]
    prediction = predict(segmenter, clip.clip, read_waveform(segmenter, split, index))
    probs = prediction.of_frames(known).mask_probs(frames.shape[1:3]).numpy()
    heard = f" ({', '.join(scores.categories)})" if scores.categories else ""
    return SheetRow(
        label=f"{scores.clip_id}{heard}: J strict {scores.j_strict:.2f}, F {scores.f:.2f}",
        frames=frames,
        masks=probs > report.threshold,
        truth=clip.masks[known],
    )


def _paste_frames(sheet: Image.Image, row: SheetRow, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    for number, planes in enumerate(zip(row.frames, row.masks, row.truth, strict=True)):
        left = number * (SIDE + GAP)
        sheet.paste(paint_masks(*planes), (left, top))
        if not planes[2].any():
            write_line(pen, (left + 5, top + 4), "nothing sounds", INK)


def paint_masks(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> Image.Image:
    """Paint the right, the wrong and the missed pixels of a mask over a pale frame.

    Args:
        frame: (H, W, 3) uint8 RGB.
        mask: What was marked, (H, W).
        truth: What was true, (H, W).

    Returns:
        A square of `SIDE` pixels.
    """
    picture = _pale(frame)
    planes = {"right": mask & truth, "wrong": mask & ~truth, "missed": truth & ~mask}
    for name, plane in planes.items():
        _cover(picture, plane, COLOURS[name])
    return picture


def paint_classes(
    frame: NDArray[np.uint8], labels: NDArray[np.uint8], names: Sequence[str]
) -> Image.Image:
    """Paint the classes of pixels over a pale frame, each in its colour of AVSS with its name.

    Args:
        frame: (H, W, 3) uint8 RGB.
        labels: Class of each pixel, (H, W), 0 the background.
        names: Classes by number.

    Returns:
        A square of `SIDE` pixels.
    """
    picture = _pale(frame)
    pen = ImageDraw.Draw(picture)
    palette = class_palette(len(names))
    for number in np.unique(labels[labels > 0]):
        red, green, blue = palette[number].tolist()
        # The darker half of the palette could not be read on a picture.
        colour = (127 + red // 2, 127 + green // 2, 127 + blue // 2)
        _cover(picture, labels == number, colour)
        rows, columns = np.nonzero(labels == number)
        height, width = labels.shape
        left = columns.mean() / width * SIDE - pen.textlength(names[number]) / 2
        place = (round(max(2, left)), round(rows.mean() / height * SIDE) - LINE // 2)
        write_line(pen, place, names[number], colour)
    return picture


def _pale(frame: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(frame).resize((SIDE, SIDE))
    return Image.blend(picture.convert("L").convert("RGB"), picture, _SATURATION)


def _cover(picture: Image.Image, plane: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Colour and outline some pixels of the frame, (H, W), on its picture."""
    cover = Image.fromarray(plane.astype(np.uint8) * np.uint8(255)).resize((SIDE, SIDE))
    tint = Image.new("RGB", picture.size, colour)
    picture.paste(tint, mask=cover.point(lambda level: round(_OPACITY * level)))
    picture.paste(tint, mask=_outline(cover))


def _outline(mask: Image.Image) -> Image.Image:
    """Two pixels along the inner edge of a mask."""
    solid = np.asarray(mask) > 127
    inner = np.asarray(Image.fromarray(solid).convert("L").filter(ImageFilter.MinFilter(5))) > 127
    return Image.fromarray(solid & ~inner)


def write_line(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int]
) -> int:
    """Write a line of text with a dark edge.

    Args:
        pen: Draws on the picture.
        place: Its upper left corner (x, y), in pixels.
        text: What it says.
        colour: RGB.

    Returns:
        Where it ends (x), in pixels.
    """
    font = ImageFont.load_default(size=13)
    pen.text(place, text, fill=colour, font=font, stroke_width=1, stroke_fill=(0, 0, 0))
    return place[0] + round(pen.textlength(text, font=font))
