"""A comparison sheet: a few clips with audio, ground truth and the masks of several models.

A clip has T annotated frames of H x W pixels; its audio has R samples per second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avseg.backbones.spectrogram import decibels, mel_bank, power_spectrogram
from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import DatasetError
from avseg.evaluation.figures.contact_sheet import (
    COLOURS,
    GAP,
    INK,
    LINE,
    SIDE,
    draw_classes,
    draw_masks,
    draw_text,
)
from avseg.evaluation.prediction import (
    DataLike,
    ModelLike,
    Prediction,
    Predictor,
    check_threshold,
    load_predictor,
    open_split,
)
from avseg.evaluation.report import write_file
from avseg.metrics.binary import mask_iou
from avseg.models.outputs import resize_logits
from avseg.synthavs.classes import SemanticSplit
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents

#: Height of a spectrogram, and space between two clips, in pixels.
_STRIP, _SPACE = 64, 14

#: Spectrogram: window and hop in samples, number of mel bands, and dynamic range: a band that is
#: this much quieter than the loudest band is black. At 16 kHz a second has about `SIDE` columns.
_N_FFT, _HOP, _BANDS = 512, 100, 64
_RANGE_DB = 60.0

#: Smallest level of the brightest colour: without it, the noise of a silent clip would be amplified
#: until it looks like sound.
_LOUD_DB = -30.0

_FAINT = (170, 170, 170)


@dataclass(frozen=True, eq=False)
class SegmentedClip:
    """The masks of one model for one clip.

    Attributes:
        j: AVSBench's J, the mean over the frames, in [0, 1].
        packed: Masks (T, H, W) as bits, eight per byte, since there may be thousands of clips.
        shape: T, H and W.
        classes: Class map of each frame, (T, H, W), 0 the background; None if no classes were
            requested, or the model predicts none.
    """

    j: float
    packed: NDArray[np.uint8]
    shape: tuple[int, ...]
    classes: NDArray[np.uint8] | None = None

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Predicted masks, (T, H, W)."""
        bits = np.unpackbits(self.packed, count=int(np.prod(self.shape)))
        return bits.astype(np.bool_).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class ComparedClip:
    """A clip on the comparison sheet, with the masks of each model.

    Attributes:
        title: Line of text above the clip.
        seconds: Start of the second to which each frame belongs, T whole numbers.
        sounds: Audio of each frame's second, (T, R).
        sample_rate: R, in Hz.
        frames: (T, H, W, 3) uint8 RGB.
        truth: Ground truth, (T, H, W) bool.
        segmented: Masks of each model, by its name.
        labels: Ground-truth class of each pixel, (T, H, W), 0 the background; None to draw no
            classes.
        class_names: Classes by number.
    """

    title: str
    seconds: tuple[int, ...]
    sounds: NDArray[np.float32]
    sample_rate: int
    frames: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    segmented: dict[str, SegmentedClip]
    labels: NDArray[np.uint8] | None = None
    class_names: Sequence[str] = ()


def draw_comparison(  # noqa: PLR0913 - one argument for each option of the command
    models: Sequence[ModelLike],
    data: DataLike,
    *,
    subset: Subset | None = None,
    split: str = "test",
    output: str | PathLike[str] | None = None,
    clips: int = 4,
    clip: Sequence[str] = (),
    threshold: float = 0.5,
    by_name: bool = False,
    device: str = "auto",
    offline: bool = False,
    on_clip: Callable[[int, int], object] = lambda *_: None,
) -> Image.Image:
    """Draw a comparison sheet: audio, frames, ground truth and the masks of each model.

    Without names of clips, all models segment the whole split, and the clips on which their J
    differs most are drawn. For a single model, the first clips are drawn.

    Args:
        models: At least one model, in any form that `evaluate` accepts.
        data: Folder of the data sets in AVSBench's layout, or an open split.
        subset: Subset of the folder, such as "ms3"; None for an open split.
        split: Split of the folder.
        output: The PNG file to write; None to write none.
        clips: Number of clips.
        clip: Names of the clips to draw; empty to choose them by their differences in J.
        threshold: Probability above which a pixel is marked, in (0, 1).
        by_name: Whether to draw class maps too; AVSS, AVS-V3 and SynthAVS have classes.
        device: Device of models that are given by name or folder.
        offline: Whether to download nothing.
        on_clip: Called after each clip of each model with the number done and the total.

    Returns:
        The picture.

    Raises:
        CheckpointError: If there is no such model, it does not use the audio, or its classes are
            not those of the data set.
        DatasetError: If a file is missing or damaged, there is no clip of a name, or the data set
            has no classes.
        OutputError: If the picture cannot be written.
        ValueError: If an argument is out of its range.
    """
    check_threshold(threshold)
    opened = open_split(data, subset, split)
    semantic = SemanticSplit.open(opened) if by_name else None
    class_names = None if semantic is None else semantic.names
    # All clips have to be segmented to find those on which the models differ most.
    count = len(opened) if len(models) > 1 else min(clips, len(opened))
    indices = find_clips(opened, clip) if clip else list(range(count))
    segmented: dict[str, list[SegmentedClip]] = {}
    # One model after the other: several large models may not fit into memory.
    for number, model in enumerate(models):
        # A default value fixes the offset of this model; a closure would read the loop variable.
        def on_clip_of_model(done: int, before: int = number * len(indices)) -> None:
            on_clip(before + done, len(models) * len(indices))

        predictor = load_predictor(model, data, device=device, offline=offline)
        # Models in two folders may have the same name: the second one is labelled with its path.
        name = str(model) if predictor.name in segmented else predictor.name
        segmented[name] = segment_clips(
            predictor, opened, indices, threshold, class_names, on_clip_of_model
        )
    rows = list(range(len(indices)))
    if not clip:
        rows = most_different([[c.j for c in of_model] for of_model in segmented.values()], clips)
    chosen = {name: [of_model[row] for row in rows] for name, of_model in segmented.items()}
    drawn = gather_clips(opened, [indices[row] for row in rows], chosen, semantic)
    rule = f", of {len(opened)} those with the largest differences in J"
    title = f"{opened.subset}/{opened.split}: {len(drawn)} clips"
    sheet = draw_comparison_sheet(drawn, title + (rule if not clip and len(models) > 1 else ""))
    if output is not None:
        write_file(Path(output), sheet.save)
    return sheet


def segment_clips(
    predictor: Predictor,
    split: AVSBench,
    indices: Sequence[int],
    threshold: float = 0.5,
    class_names: Sequence[str] | None = None,
    on_clip: Callable[[int], object] = lambda _: None,
) -> list[SegmentedClip]:
    """Segment clips; only the masks of their annotated frames are returned.

    Args:
        predictor: The model.
        split: The data, with audio at any sample rate.
        indices: Numbers of the clips.
        threshold: Probability above which a pixel is marked, in (0, 1).
        class_names: Classes of the data set by number; None to predict no classes.
        on_clip: Called after each clip with the number of finished ones.

    Returns:
        The masks of each clip.

    Raises:
        CheckpointError: If the model predicts classes other than these.
        DatasetError: If a file is missing or damaged.
    """
    # Models may need different sample rates; the frames are the same.
    resampled = open_split(
        split,
        sample_rate=predictor.sample_rate,
        audio_channels=predictor.audio_channels,
    )
    segmented = []
    for done, index in enumerate(indices, start=1):
        clip = resampled[index]
        audio = predictor.read_audio(resampled, index)
        prediction = predictor.predict(clip.clip, audio, class_names).of_frames(clip.annotated)
        size = (clip.masks.shape[1], clip.masks.shape[2])
        masks = prediction.mask_probs(size) > threshold
        truth = torch.from_numpy(clip.masks[clip.annotated])
        j = float(mask_iou(masks, truth).mean())
        packed = np.packbits(masks.numpy())
        segmented.append(SegmentedClip(j, packed, tuple(masks.shape), _classes(prediction, size)))
        on_clip(done)
    return segmented


def find_clips(split: AVSBench, names: Sequence[str]) -> list[int]:
    """Find clips by name.

    Args:
        split: The data.
        names: Names of the clips.

    Returns:
        Their numbers in the split.

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
    """Choose the clips on which the models differ most in J.

    Args:
        scores: J of each clip, for each model.
        count: Number of clips.

    Returns:
        Positions of the clips with the widest range of J, in descending order; the first clips for
        a single model, because the sort is stable.
    """
    ranges = np.ptp(np.array(scores), axis=0)
    return [int(position) for position in np.argsort(-ranges, kind="stable")[:count]]


def gather_clips(
    split: AVSBench,
    indices: Sequence[int],
    segmented: dict[str, list[SegmentedClip]],
    semantic: SemanticSplit | None = None,
) -> list[ComparedClip]:
    """Read clips, and combine each with the masks of all models.

    Args:
        split: The data, with audio at any sample rate.
        indices: Numbers of the clips.
        segmented: Masks of these clips by the name of the model.
        semantic: The data with their classes; None to draw no classes.

    Returns:
        The clips, for `draw_comparison_sheet`.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    contents = read_contents(split, find_synthavs_split(split))
    return [
        _compared_clip(
            split, index, contents, {name: c[number] for name, c in segmented.items()}, semantic
        )
        for number, index in enumerate(indices)
    ]


def draw_comparison_sheet(clips: Sequence[ComparedClip], title: str) -> Image.Image:
    """Draw clips in a column, each with audio, frames, ground truth, and the masks of each model.

    Args:
        clips: At least one, all with the same models.
        title: Title of the sheet.

    Returns:
        The picture.
    """
    models = list(clips[0].segmented)
    left = _label_width(models)
    columns = max(len(clip.frames) for clip in clips)
    # Frames and ground truth, then one row for each model and each class map.
    rows = 2 + len(models) + len(_class_rows(clips[0]))
    block = 2 * LINE + _STRIP + GAP + rows * (SIDE + GAP) + _SPACE
    width = left + columns * (SIDE + GAP)
    # At least 560 pixels beside the labels, so that the legend is not cut off.
    sheet = Image.new("RGB", (max(width, left + 560), 2 * LINE + _SPACE + len(clips) * block))
    pen = ImageDraw.Draw(sheet)
    draw_text(pen, (6, 4), title, INK)
    end = 6
    for name, colour in COLOURS.items():
        end = draw_text(pen, (end, LINE + 4), f"{name} pixels", colour) + 14
    draw_text(pen, (end, LINE + 4), "J: mean IoU of a clip's frames with the ground truth", _FAINT)
    for number, clip in enumerate(clips):
        _draw_clip(sheet, clip, left, 2 * LINE + _SPACE + number * block)
    return sheet


def _compared_clip(
    split: AVSBench,
    index: int,
    contents: Sequence[ClipContents] | None,
    segmented: dict[str, SegmentedClip],
    semantic: SemanticSplit | None,
) -> ComparedClip:
    clip, labels = (split[index], None) if semantic is None else semantic.read(index)
    kept = clip.annotated
    sounding = () if contents is None else sorted(contents[index].sounding)
    return ComparedClip(
        title=clip.clip_id + (f"   sounding: {', '.join(sounding)}" if sounding else ""),
        seconds=tuple(int(second) for second in np.flatnonzero(kept)),
        sounds=clip.clip.audio_windows(1.0)[kept],
        sample_rate=clip.clip.sample_rate,
        frames=clip.clip.frames[kept],
        truth=clip.masks[kept],
        segmented=segmented,
        labels=None if labels is None else labels[kept],
        class_names=() if semantic is None else semantic.names,
    )


def _label_width(models: Sequence[str]) -> int:
    font = ImageFont.load_default(size=13)
    labels = (*models, "ground truth", "0 to 8000 Hz")
    return 16 + round(max(font.getlength(label) for label in labels))


def _draw_clip(sheet: Image.Image, clip: ComparedClip, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.line((0, top, sheet.width, top), fill=(90, 90, 90))
    draw_text(pen, (6, top + 4), clip.title, INK)
    top += LINE
    places = [left + number * (SIDE + GAP) for number in range(len(clip.seconds))]
    for place, second in zip(places, clip.seconds, strict=True):
        draw_text(pen, (place, top + 3), f"{second} to {second + 1} s", _FAINT)
    top += LINE
    _label(pen, top, "audio", f"0 to {clip.sample_rate // 2} Hz")
    for place, picture in zip(places, _draw_sounds(clip.sounds, clip.sample_rate), strict=True):
        sheet.paste(picture, (place, top))
    top += _STRIP + GAP
    _label(pen, top, "frame")
    for place, frame in zip(places, clip.frames, strict=True):
        sheet.paste(Image.fromarray(frame).resize((SIDE, SIDE)), (place, top))
    top += SIDE + GAP
    _label(pen, top, "ground truth")
    _paste_masks(sheet, clip, clip.truth, places, top)
    for place, truth in zip(places, clip.truth, strict=True):
        if not truth.any():
            draw_text(pen, (place + 5, top + 4), "no sounding object", INK)
    for name, segmented in clip.segmented.items():
        top += SIDE + GAP
        _label(pen, top, name, f"J {segmented.j:.2f}")
        _paste_masks(sheet, clip, segmented.masks, places, top)
    for name, classes in _class_rows(clip).items():
        top += SIDE + GAP
        _label(pen, top, name, "by name")
        for place, frame, numbers in zip(places, clip.frames, classes, strict=True):
            sheet.paste(draw_classes(frame, numbers, clip.class_names), (place, top))


def _class_rows(clip: ComparedClip) -> dict[str, NDArray[np.uint8]]:
    """Return the class maps by row label: the ground truth, then each model that has classes."""
    if clip.labels is None:
        return {}
    predicted = {name: segmented.classes for name, segmented in clip.segmented.items()}
    maps = {name: classes for name, classes in predicted.items() if classes is not None}
    return {"ground truth": clip.labels} | maps


def _classes(prediction: Prediction, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if prediction.class_logits is None:
        return None
    return resize_logits(prediction.class_logits, size).argmax(1).to(torch.uint8).numpy()


def _label(pen: ImageDraw.ImageDraw, top: int, name: str, figure: str = "") -> None:
    draw_text(pen, (6, top + 4), name, INK)
    draw_text(pen, (6, top + LINE), figure, _FAINT)


def _paste_masks(
    sheet: Image.Image,
    clip: ComparedClip,
    masks: NDArray[np.bool_],
    places: Sequence[int],
    top: int,
) -> None:
    for place, *planes in zip(places, clip.frames, masks, clip.truth, strict=True):
        sheet.paste(draw_masks(*planes), (place, top))


def _draw_sounds(sounds: NDArray[np.float32], sample_rate: int) -> list[Image.Image]:
    """Draw a log-mel spectrogram of each second, low frequencies at the bottom."""
    # One scale for all seconds of a clip: a silent second stays black beside a loud one.
    power = power_spectrogram(torch.from_numpy(sounds), _N_FFT, _HOP)
    bank = mel_bank(_N_FFT, _BANDS, sample_rate, 0.0, sample_rate / 2)
    levels = decibels(power @ bank)  # (T, columns, bands)
    loudest = max(float(levels.max()), _LOUD_DB)
    # Mel bands become rows; they are flipped, since row 0 of a picture is at the top.
    shares = ((levels - loudest) / _RANGE_DB + 1).clamp(0, 1).transpose(1, 2).flip(1).numpy()
    return [_coloured(share).resize((SIDE, _STRIP)) for share in shares]


def _coloured(shares: NDArray[np.float32]) -> Image.Image:
    # The colour map returns RGBA; Pillow needs contiguous memory for RGB alone.
    rgba = colormaps["magma"](shares, bytes=True)
    return Image.fromarray(np.ascontiguousarray(rgba[..., :3]))
