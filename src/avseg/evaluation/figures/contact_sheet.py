"""A contact sheet: predicted masks and ground truth of the clips with the worst and best scores.

A clip has T frames of H x W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.palette import class_palette
from avseg.evaluation.prediction import Predictor
from avseg.evaluation.report import Report

#: Side of a frame on the sheet, gap between frames and height of a line of text, in pixels.
SIDE, GAP, LINE = 160, 4, 22

#: Kind of pixel -> RGB; colour-blind readers can distinguish the colours (Okabe and Ito).
COLOURS = {"right": (0, 200, 140), "wrong": (240, 90, 0), "missed": (60, 160, 255)}

#: Opacity of these colours, and share of the frame's saturation that is kept below them.
_OPACITY, _SATURATION = 0.5, 0.25

#: Colour of text.
INK = (255, 255, 255)


@dataclass(frozen=True)
class SheetClip:
    """One clip on the sheet.

    Attributes:
        label: Line of text above the frames.
        frames: (T, H, W, 3) uint8 RGB.
        masks: Predicted masks, (T, H, W) bool.
        truth: Ground truth, (T, H, W) bool.
    """

    label: str
    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    truth: NDArray[np.bool_]


def extreme_clips(
    predictor: Predictor, split: AVSBench, report: Report, count: int = 5
) -> dict[str, list[SheetClip]]:
    """Segment the worst and the best clips of a report once more.

    The worst clips have the lowest strict J. The best clips have the highest J over frames that are
    not silent: a clip of silent frames has no masks to show.

    Args:
        predictor: The model that was evaluated.
        split: The data that it was evaluated on.
        report: The report.
        count: Number of the worst clips, and of the best.

    Returns:
        "worst" in ascending order, and "best" in descending order; no clip is in both.
    """
    clips = report.clips
    worst = sorted(range(len(clips)), key=lambda index: clips[index].j_strict)[:count]
    best = sorted(
        # In a small split, a clip could be among the worst and the best.
        (i for i, clip in enumerate(clips) if clip.j_sounding is not None and i not in worst),
        key=lambda index: clips[index].j_sounding or 0.0,
        reverse=True,
    )[:count]
    return {
        name: [_segment(predictor, split, report, index) for index in chosen]
        for name, chosen in (("worst", worst), ("best", best))
    }


def draw_sheet(sections: Mapping[str, Sequence[SheetClip]]) -> Image.Image:
    """Draw a contact sheet: one clip per row, with a heading above each section.

    Args:
        sections: Clips by heading, at least one clip.

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
        left = draw_text(pen, (left, 3), name, colour) + 12
    top = LINE
    for name, section in sections.items():
        draw_text(pen, (4, top + 3), name.upper(), INK)
        top += LINE
        for row in section:
            draw_text(pen, (4, top + 3), row.label, INK)
            _paste_frames(sheet, row, top + LINE)
            top += LINE + SIDE + GAP
    return sheet


def _segment(predictor: Predictor, split: AVSBench, report: Report, index: int) -> SheetClip:
    clip, scores = split[index], report.clips[index]
    frames = clip.clip.frames[clip.annotated]
    # Predicted again, since the masks of all clips of an evaluation would need too much memory.
    prediction = predictor.predict(clip.clip, predictor.read_audio(split, index))
    probs = prediction.of_frames(clip.annotated).mask_probs(frames.shape[1:3]).numpy()
    categories = f" ({', '.join(scores.categories)})" if scores.categories else ""
    return SheetClip(
        label=f"{scores.clip_id}{categories}: J strict {scores.j_strict:.2f}, F {scores.f:.2f}",
        frames=frames,
        masks=probs > report.threshold,
        truth=clip.masks[clip.annotated],
    )


def _paste_frames(sheet: Image.Image, row: SheetClip, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    for number, planes in enumerate(zip(row.frames, row.masks, row.truth, strict=True)):
        left = number * (SIDE + GAP)
        sheet.paste(draw_masks(*planes), (left, top))
        if not planes[2].any():
            draw_text(pen, (left + 5, top + 4), "no sounding object", INK)


def draw_masks(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> Image.Image:
    """Draw the correct, wrong and missed pixels of a mask over a pale frame.

    Args:
        frame: (H, W, 3) uint8 RGB.
        mask: Predicted mask, (H, W).
        truth: Ground truth, (H, W).

    Returns:
        A square of `SIDE` pixels.
    """
    picture = _pale(frame)
    planes = {"right": mask & truth, "wrong": mask & ~truth, "missed": truth & ~mask}
    for name, plane in planes.items():
        _cover(picture, plane, COLOURS[name])
    return picture


def draw_classes(
    frame: NDArray[np.uint8], labels: NDArray[np.uint8], names: Sequence[str]
) -> Image.Image:
    """Draw a class map over a pale frame, each class in AVSS's colour and with its name.

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
        # The palette of AVSS has dark colours, which are hard to see on a frame.
        colour = (127 + red // 2, 127 + green // 2, 127 + blue // 2)
        _cover(picture, labels == number, colour)
        # The name is centred on the centre of mass, but starts inside of the left edge.
        rows, columns = np.nonzero(labels == number)
        height, width = labels.shape
        left = columns.mean() / width * SIDE - pen.textlength(names[number]) / 2
        place = (round(max(2, left)), round(rows.mean() / height * SIDE) - LINE // 2)
        draw_text(pen, place, names[number], colour)
    return picture


def _pale(frame: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(frame).resize((SIDE, SIDE))
    # Most of the colour is removed, so that the colours of the masks stand out.
    return Image.blend(picture.convert("L").convert("RGB"), picture, _SATURATION)


def _cover(picture: Image.Image, plane: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Colour and outline the pixels of a mask, (H, W), on the picture of its frame."""
    cover = Image.fromarray(plane.astype(np.uint8) * np.uint8(255)).resize((SIDE, SIDE))
    tint = Image.new("RGB", picture.size, colour)
    picture.paste(tint, mask=cover.point(lambda level: round(_OPACITY * level)))
    picture.paste(tint, mask=_outline(cover))


def _outline(mask: Image.Image) -> Image.Image:
    """Return the outline of a mask: two pixels along its inner edge."""
    # Resizing has softened the edge of the mask; a minimum filter of 5 pixels erodes two of them.
    solid = np.asarray(mask) > 127
    inner = np.asarray(Image.fromarray(solid).convert("L").filter(ImageFilter.MinFilter(5))) > 127
    return Image.fromarray(solid & ~inner)


def draw_text(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int]
) -> int:
    """Draw a line of text with a dark edge.

    Args:
        pen: The picture to draw on.
        place: Upper left corner of the text (x, y), in pixels.
        text: The text.
        colour: RGB.

    Returns:
        Right end of the text (x), in pixels.
    """
    font = ImageFont.load_default(size=13)
    pen.text(place, text, fill=colour, font=font, stroke_width=1, stroke_fill=(0, 0, 0))
    return place[0] + round(pen.textlength(text, font=font))
