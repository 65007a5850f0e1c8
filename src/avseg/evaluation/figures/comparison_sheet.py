"""A comparison sheet: a few clips with their sound, the truth and what several models mark.

T frames of H x W pixels, those of a clip that are annotated; S samples of sound, R samples a
second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avseg.backbones.spectrogram import decibels, mel_bank, power_spectrogram
from avseg.datasets.avsbench import AVSBench
from avseg.errors import DatasetError
from avseg.evaluation.figures.contact_sheet import (
    COLOURS,
    GAP,
    INK,
    LINE,
    SIDE,
    paint_classes,
    paint_masks,
    write_line,
)
from avseg.evaluation.prediction import Prediction, predict, read_waveform, require_listening
from avseg.metrics.binary import mask_iou
from avseg.models.outputs import resize_logits
from avseg.segmenter import Segmenter
from avseg.synthavs.classes import SemanticSplit
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents

#: Height of the strip of sound and space between two clips, in pixels.
_STRIP, _SPACE = 64, 14

#: Spectrogram: window and hop in samples, bands, and what lies how far below the loudest is black.
_N_FFT, _HOP, _BANDS = 512, 100, 64
_RANGE_DB = 60.0

#: A clip whose loudest band stays below this is drawn as silent.
_LOUD_DB = -30.0

_FAINT = (170, 170, 170)


@dataclass(frozen=True, eq=False)
class MarkedClip:
    """What one model marks in one clip.

    Attributes:
        j: AVSBench's J, the mean over the frames, in [0, 1].
        packed: Masks (T, H, W) as bits, eight in a byte: there may be thousands of clips.
        shape: T, H and W.
        classes: Class number of each pixel, (T, H, W), 0 the background; None if it was not asked
            for, or the model tells none.
    """

    j: float
    packed: NDArray[np.uint8]
    shape: tuple[int, ...]
    classes: NDArray[np.uint8] | None = None

    @property
    def masks(self) -> NDArray[np.bool_]:
        """What is marked, (T, H, W)."""
        bits = np.unpackbits(self.packed, count=int(np.prod(self.shape)))
        return bits.astype(np.bool_).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class ComparedClip:
    """A clip on the sheet.

    Attributes:
        title: What is said of it.
        seconds: When each frame was taken, in whole seconds, T of them.
        sounds: Sound of each frame's second, (T, R).
        sample_rate: R, in Hz.
        frames: (T, H, W, 3) uint8 RGB.
        truth: (T, H, W) bool.
        marked: What each model marks, by its name.
        labels: True class of each pixel, (T, H, W), 0 the background; None to draw no classes.
        class_names: Classes by number.
    """

    title: str
    seconds: tuple[int, ...]
    sounds: NDArray[np.float32]
    sample_rate: int
    frames: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    marked: dict[str, MarkedClip]
    labels: NDArray[np.uint8] | None = None
    class_names: Sequence[str] = ()


def mark_clips(
    segmenter: Segmenter,
    split: AVSBench,
    indices: Sequence[int],
    threshold: float = 0.5,
    class_names: Sequence[str] | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[MarkedClip]:
    """Segment clips and keep the masks of the annotated frames.

    Args:
        segmenter: The model and its processor.
        split: The data, with sound at the processor's rate.
        indices: Numbers of the clips.
        threshold: Probability above which a pixel is marked, in (0, 1).
        class_names: Classes of the data set by number; None asks for none.
        on_progress: Called with the share of the clips that is done, in [0, 1].

    Returns:
        What is marked in each.

    Raises:
        CheckpointError: If the model does not listen, or tells other classes.
        DatasetError: If a file is missing or damaged.
    """
    require_listening(segmenter)
    marked = []
    for done, index in enumerate(indices, start=1):
        clip = split[index]
        sound = read_waveform(segmenter, split, index)
        said = predict(segmenter, clip.clip, sound, class_names).of_frames(clip.annotated)
        size = (clip.masks.shape[1], clip.masks.shape[2])
        masks = said.mask_probs(size) > threshold
        truth = torch.from_numpy(clip.masks[clip.annotated])
        j = float(mask_iou(masks, truth).mean())
        packed = np.packbits(masks.numpy())
        marked.append(MarkedClip(j, packed, tuple(masks.shape), _classes(said, size)))
        on_progress(done / len(indices))
    return marked


def find_clips(split: AVSBench, names: Sequence[str]) -> list[int]:
    """Find clips by name.

    Args:
        split: The data.
        names: Of the clips.

    Returns:
        Their numbers.

    Raises:
        DatasetError: If there is no clip of a name.
    """
    known = {entry.name: index for index, entry in enumerate(split.entries)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DatasetError(
            f"{split.folder}: {split.split} has no clip {unknown[0]!r}; "
            f"its first is {split.entries[0].name!r}, and clips.csv of a report names all."
        )
    return [known[name] for name in names]


def most_different(scores: Sequence[Sequence[float]], count: int) -> list[int]:
    """Choose the clips on which models differ most.

    Args:
        scores: J of each clip, for each model.
        count: How many clips.

    Returns:
        Places of the clips with the widest range of J, the widest first, of equal ones the first;
        so of a single model the first clips.
    """
    spread = np.ptp(np.array(scores), axis=0)
    return [int(place) for place in np.argsort(-spread, kind="stable")[:count]]


def gather_clips(
    split: AVSBench,
    indices: Sequence[int],
    marked: dict[str, list[MarkedClip]],
    classed: SemanticSplit | None = None,
) -> list[ComparedClip]:
    """Put clips beside what models mark in them.

    Args:
        split: The data, with sound at any rate.
        indices: Numbers of the clips.
        marked: By the model's name, what it marks in each of them.
        classed: The data with its classes, to draw these too.

    Returns:
        The clips, for `draw_gallery`.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    contents = read_contents(split, find_synthavs_split(split))
    return [
        _compared(
            split, index, contents, {name: clips[place] for name, clips in marked.items()}, classed
        )
        for place, index in enumerate(indices)
    ]


def draw_gallery(clips: Sequence[ComparedClip], title: str) -> Image.Image:
    """Draw clips below each other: sound, frames, truth, and the masks of each model.

    Args:
        clips: At least one, all with the same models.
        title: What the sheet shows.

    Returns:
        The picture.
    """
    models = list(clips[0].marked)
    left = _label_width(models)
    columns = max(len(clip.frames) for clip in clips)
    rows = 2 + len(models) + len(_class_rows(clips[0]))
    block = 2 * LINE + _STRIP + GAP + rows * (SIDE + GAP) + _SPACE
    width = left + columns * (SIDE + GAP)
    sheet = Image.new("RGB", (max(width, left + 560), 2 * LINE + _SPACE + len(clips) * block))
    pen = ImageDraw.Draw(sheet)
    write_line(pen, (6, 4), title, INK)
    end = 6
    for name, colour in COLOURS.items():
        end = write_line(pen, (end, LINE + 4), f"{name} pixels", colour) + 14
    write_line(pen, (end, LINE + 4), "J: mean IoU of a clip's frames with the truth", _FAINT)
    for number, clip in enumerate(clips):
        _draw_clip(sheet, clip, left, 2 * LINE + _SPACE + number * block)
    return sheet


def _compared(
    split: AVSBench,
    index: int,
    contents: Sequence[ClipContents] | None,
    marked: dict[str, MarkedClip],
    classed: SemanticSplit | None,
) -> ComparedClip:
    clip, labels = (split[index], None) if classed is None else classed.read(index)
    known = clip.annotated
    heard = () if contents is None else sorted(contents[index].sounding)
    return ComparedClip(
        title=f"{clip.clip_id}   sounding: {', '.join(heard)}" if heard else clip.clip_id,
        seconds=tuple(int(second) for second in np.flatnonzero(known)),
        sounds=clip.clip.audio_windows(1.0)[known],
        sample_rate=clip.clip.sample_rate,
        frames=clip.clip.frames[known],
        truth=clip.masks[known],
        marked=marked,
        labels=None if labels is None else labels[known],
        class_names=() if classed is None else classed.names,
    )


def _label_width(models: Sequence[str]) -> int:
    font = ImageFont.load_default(size=13)
    return 16 + round(max(font.getlength(name) for name in (*models, "0 to 8000 Hz")))


def _draw_clip(sheet: Image.Image, clip: ComparedClip, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.line((0, top, sheet.width, top), fill=(90, 90, 90))
    write_line(pen, (6, top + 4), clip.title, INK)
    top += LINE
    places = [left + number * (SIDE + GAP) for number in range(len(clip.seconds))]
    for place, second in zip(places, clip.seconds, strict=True):
        write_line(pen, (place, top + 3), f"{second} to {second + 1} s", _FAINT)
    top += LINE
    _label(pen, top, "sound", f"0 to {clip.sample_rate // 2} Hz")
    for place, picture in zip(places, _draw_sounds(clip.sounds, clip.sample_rate), strict=True):
        sheet.paste(picture, (place, top))
    top += _STRIP + GAP
    _label(pen, top, "frame")
    for place, frame in zip(places, clip.frames, strict=True):
        sheet.paste(Image.fromarray(frame).resize((SIDE, SIDE)), (place, top))
    top += SIDE + GAP
    _label(pen, top, "truth")
    _paste_masks(sheet, clip, clip.truth, places, top)
    for place, truth in zip(places, clip.truth, strict=True):
        if not truth.any():
            write_line(pen, (place + 5, top + 4), "nothing sounds", INK)
    for name, marked in clip.marked.items():
        top += SIDE + GAP
        _label(pen, top, name, f"J {marked.j:.2f}")
        _paste_masks(sheet, clip, marked.masks, places, top)
    for name, classes in _class_rows(clip).items():
        top += SIDE + GAP
        _label(pen, top, name, "by name")
        for place, frame, numbers in zip(places, clip.frames, classes, strict=True):
            sheet.paste(paint_classes(frame, numbers, clip.class_names), (place, top))


def _class_rows(clip: ComparedClip) -> dict[str, NDArray[np.uint8]]:
    """Give the classes of the pixels in truth, then as the models tell them that tell any."""
    if clip.labels is None:
        return {}
    told = {name: marked.classes for name, marked in clip.marked.items()}
    return {"truth": clip.labels} | {name: c for name, c in told.items() if c is not None}


def _classes(said: Prediction, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if said.class_logits is None:
        return None
    return resize_logits(said.class_logits, size).argmax(1).to(torch.uint8).numpy()


def _label(pen: ImageDraw.ImageDraw, top: int, name: str, figure: str = "") -> None:
    write_line(pen, (6, top + 4), name, INK)
    write_line(pen, (6, top + LINE), figure, _FAINT)


def _paste_masks(
    sheet: Image.Image,
    clip: ComparedClip,
    masks: NDArray[np.bool_],
    places: Sequence[int],
    top: int,
) -> None:
    for place, *planes in zip(places, clip.frames, masks, clip.truth, strict=True):
        sheet.paste(paint_masks(*planes), (place, top))


def _draw_sounds(sounds: NDArray[np.float32], sample_rate: int) -> list[Image.Image]:
    """Draw a log-mel spectrogram of each second, low frequencies at the bottom."""
    power = power_spectrogram(torch.from_numpy(sounds), _N_FFT, _HOP)
    bank = mel_bank(_N_FFT, _BANDS, sample_rate, 0.0, sample_rate / 2)
    levels = decibels(power @ bank)  # (T, columns, bands)
    loudest = max(float(levels.max()), _LOUD_DB)
    shares = ((levels - loudest) / _RANGE_DB + 1).clamp(0, 1).transpose(1, 2).flip(1).numpy()
    return [_coloured(share).resize((SIDE, _STRIP)) for share in shares]


def _coloured(shares: NDArray[np.float32]) -> Image.Image:
    rgba = colormaps["magma"](shares, bytes=True)
    return Image.fromarray(np.ascontiguousarray(rgba[..., :3]))
