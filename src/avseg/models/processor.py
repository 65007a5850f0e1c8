"""What a segmenter asks of the processor beside a model, and what processors have in common.

T frames of H x W pixels, h x w size of the mask logits.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.errors import CheckpointError, ClipError, PromptError
from avseg.models.outputs import AvsegOutput, NamedOutput, resize_logits
from avseg.types import Clip, NamedSource

#: Mean and standard deviation of red, green and blue over 0..255, as each backbone was trained.
SAM_STATISTICS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BEIT3_STATISTICS = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
CLIP_STATISTICS = (
    (122.7709383, 116.7460125, 104.09373615),
    (68.5005327, 66.6321579, 70.32316305),
)


def as_pixels(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Turn frames (T, H, W, 3) into a tensor (T, 3, H, W) of the same uint8 values."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize frames as Pillow does, to one grey level.

    Args:
        pixels: (T, 3, H, W) uint8.
        size: Height and width to come, in pixels.
        mode: "bilinear" or "bicubic".

    Returns:
        Frames of that size, uint8.
    """
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=mode, antialias=True)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Give the size of a frame whose longer side is made that of the square, as SAM does.

    Args:
        size: Height and width of the frame, in pixels.
        side: S.

    Returns:
        Height and width, the longer of them S.
    """
    scale = side / max(size)
    height, width = (int(length * scale + 0.5) for length in size)
    return height, width


def normalise(pixels: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Subtract a backbone's mean and divide by its standard deviation.

    Args:
        pixels: RGB in [0, 255], (T, 3, H, W), of any dtype and on any device.
        statistics: Mean and standard deviation of red, green and blue, over 0..255.

    Returns:
        Normalised pixels, (T, 3, H, W) float32.
    """
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in statistics)
    return (pixels.float() - mean) / std


def for_sam(pixels: Tensor, side: int, keep_proportions: bool) -> Tensor:
    """Resize and normalise frames for SAM.

    Args:
        pixels: (T, 3, H, W) uint8.
        side: S.
        keep_proportions: Whether they keep their proportions and are filled up to the square, to
            the right or below; they are squeezed into it otherwise.

    Returns:
        Normalised pixels, (T, 3, S, S) float32.
    """
    size = (side, side)
    if keep_proportions:
        size = fitted_size((pixels.shape[-2], pixels.shape[-1]), side)
    resized = normalise(resize(pixels, size, "bilinear"), SAM_STATISTICS)
    return F.pad(resized, (0, side - size[1], 0, side - size[0]))


#: Name of the file beside a saved model.
PROCESSOR_FILE = "processor_config.json"


class ClipProcessor(Protocol):
    """Turns clips into a model's inputs and its outputs into masks."""

    @property
    def sample_rate(self) -> int:
        """Of the sound that clips carry, in Hz."""
        ...

    @property
    def window_s(self) -> float | None:
        """Sound that belongs to a frame, in seconds; None of a model that does not listen."""
        ...

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Make the processor that fits a model."""
        ...

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor saved beside its model."""
        ...

    def save_pretrained(self, folder: str | Path) -> None:
        """Save the processor beside its model."""
        ...

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Prepare one clip."""
        ...

    def post_process(
        self, outputs: AvsegOutput, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[npt.NDArray[np.bool_]]:
        """Turn mask logits into masks, (T, H, W) bool for each size."""
        ...

    def scores(self, outputs: AvsegOutput) -> npt.NDArray[np.float32]:
        """Say how sure the model is of each mask, in [0, 1]."""
        ...


class MaskProcessor:
    """What processors share: how a mask, and how sure of it the model is, are read off outputs."""

    def post_process(
        self, outputs: AvsegOutput, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[npt.NDArray[np.bool_]]:
        """Turn mask logits into masks of all that sounds.

        Args:
            outputs: Of the model, for B clips.
            sizes: Height and width of each clip's video, in pixels.
            threshold: Probability above which a pixel is marked, in (0, 1).

        Returns:
            Masks of each clip, (T, H, W) bool.

        Raises:
            ValueError: If the threshold is not between 0 and 1, or there is not one size per clip.
        """
        logits = required(outputs.mask_logits, "mask_logits")
        if len(sizes) != len(logits):
            raise ValueError(f"{len(logits)} clips need {len(logits)} sizes, got {len(sizes)}.")
        return [
            threshold_masks(clip_logits, size, threshold)
            for clip_logits, size in zip(logits, sizes, strict=True)
        ]

    def scores(self, outputs: AvsegOutput) -> npt.NDArray[np.float32]:
        """Say how sure the model is of each mask.

        Args:
            outputs: Of the model.

        Returns:
            Predicted IoU times the probability that there is something to mark, if the model says,
            in [0, 1], of the predicted IoU's shape; 0 where nothing was looked for.
        """
        scores = required(outputs.iou_predictions, "iou_predictions").float()
        if outputs.object_score_logits is not None:
            scores = scores * outputs.object_score_logits.float().sigmoid()
        array: npt.NDArray[np.float32] = scores.detach().cpu().numpy()
        return array


@runtime_checkable
class TextProcessor(ClipProcessor, Protocol):
    """A processor for a model that is prompted by texts."""

    @property
    def texts(self) -> tuple[str, ...]:
        """What is looked for; there are masks and a score for each."""
        ...

    def with_texts(self, texts: Sequence[str]) -> Self:
        """Make the same processor look for other texts."""
        ...


@runtime_checkable
class NamingProcessor(ClipProcessor, Protocol):
    """A processor for a model that names what sounds."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names among which the model chooses."""
        ...

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Make the same processor choose among other names."""
        ...

    def sources(
        self, outputs: NamedOutput, size: tuple[int, int], threshold: float = 0.5
    ) -> list[NamedSource]:
        """Turn mask logits into masks (T, H, W) and scores of each name that was chosen."""
        ...


@runtime_checkable
class SegmentProcessor(ClipProcessor, Protocol):
    """A processor that can take the sound as the published code of its model reads it."""

    @property
    def inputs(self) -> Literal["whole_picture", "published"]:
        """Whether frames and sound are prepared as in the published code."""
        ...

    def __call__(
        self, clip: Clip, sounds: npt.NDArray[np.float32] | None = None
    ) -> dict[str, Tensor]:
        """Prepare one clip; the sound of each frame may be given, (T, samples)."""
        ...


def read_options(folder: str | Path, names: Iterable[str]) -> dict[str, Any]:
    """Read the options of a processor.

    Args:
        folder: Where `write_options` wrote.
        names: The options it must have.

    Returns:
        The options by name.

    Raises:
        CheckpointError: If there is no such file, or its options are others.
    """
    path = Path(folder) / PROCESSOR_FILE
    try:
        options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist; give a folder that save_pretrained wrote."
        ) from error
    wanted = sorted(names)
    if sorted(options) != wanted:
        raise CheckpointError(
            f"{path} has the options {sorted(options)}, this processor has {wanted}; "
            "save the processor again with this version."
        )
    return options


def write_options(folder: str | Path, options: Mapping[str, Any]) -> None:
    """Write the options of a processor as JSON.

    Args:
        folder: Made if it is missing.
        options: The options by name.
    """
    path = Path(folder) / PROCESSOR_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")


def check_sample_rate(clip: Clip, sample_rate: int) -> None:
    """Refuse a clip whose sound is at another rate than the model needs.

    Args:
        clip: The clip.
        sample_rate: What the model needs, in Hz.

    Raises:
        ClipError: If it has another.
    """
    if clip.sample_rate != sample_rate:
        raise ClipError(
            clip.origin,
            f"sound is at {clip.sample_rate} Hz, the model needs {sample_rate} Hz; "
            f"read it with sample_rate={sample_rate}.",
        )


def threshold_masks(
    mask_logits: Tensor, size: tuple[int, int], threshold: float
) -> npt.NDArray[np.bool_]:
    """Resize the mask logits of a clip's frames and mark what lies above the threshold.

    Args:
        mask_logits: Before the sigmoid, (T, h, w).
        size: Height and width of the frames, in pixels.
        threshold: Probability above which a pixel is marked, in (0, 1).

    Returns:
        Masks, (T, H, W).

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold}.")
    cut = float(np.log(threshold / (1 - threshold)))
    logits = mask_logits.detach().float()
    # A frame at a time: at the video's own size the logits of a clip are large.
    masks = torch.stack([resize_logits(frame[None], size)[0] > cut for frame in logits])
    return masks.cpu().numpy()


def sources_of_clip(
    outputs: NamedOutput, names: Sequence[str], size: tuple[int, int], threshold: float
) -> list[NamedSource]:
    """Turn the mask logits of a clip's named masks into sources.

    Args:
        outputs: Of the model, for one clip; a frame has a name at most once.
        names: The names by number.
        size: Height and width of the video, in pixels.
        threshold: Probability above which a pixel is marked, in (0, 1).

    Returns:
        A source for each name that any frame has, with T frames, in the order of the names.

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    logits = required(outputs.named_logits, "named_logits")
    scores = required(outputs.named_scores, "named_scores").float().cpu().numpy()
    frame_index = required(outputs.frame_index, "frame_index").cpu().numpy()
    name_index = required(outputs.name_index, "name_index").cpu().numpy()
    count = required(outputs.mask_logits, "mask_logits").shape[1]
    sources = []
    for number in np.unique(name_index):
        of_name = np.flatnonzero(name_index == number)
        masks = np.zeros((count, *size), np.bool_)
        masks[frame_index[of_name]] = threshold_masks(logits[of_name], size, threshold)
        all_scores = np.zeros(count, np.float32)
        all_scores[frame_index[of_name]] = scores[of_name]
        sources.append(NamedSource(names[number], masks, all_scores))
    return sources


def check_vocabulary(names: Sequence[str]) -> None:
    """Refuse a vocabulary without names, or with a name twice.

    Args:
        names: The names.

    Raises:
        PromptError: If it is such.
    """
    if not names or len(set(names)) < len(names):
        raise PromptError(
            f"the vocabulary is {', '.join(names) or 'empty'}; give at least one name, and each "
            "once."
        )


def required(values: Any, name: str) -> Tensor:
    """Return what the outputs must have, or raise a TypeError that names it."""
    if not isinstance(values, Tensor):
        raise TypeError(f"the outputs have no {name}; give the outputs of the model.")
    return values
