"""Processors: convert clips to model inputs, and model outputs to masks, scores and named sources.

First the interfaces that a segmenter uses, then the base class of the families' processors, then
the functions that they share: options, audio, masks, and the pixels of the image encoders.

B clips, T frames of H x W pixels, S side of an encoder's square input, h x w size of the mask
logits.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.errors import CheckpointError, ClipError
from avseg.models.outputs import AvsegOutput, NamedOutput, resize_logits
from avseg.types import Clip, NamedSource

#: Name of the file with the options, in the folder of a model.
PROCESSOR_FILE = "processor_config.json"


class ClipProcessor(Protocol):
    """Interface of every processor."""

    @property
    def sample_rate(self) -> int:
        """Sample rate that the audio of a clip must have, in Hz."""
        ...

    @property
    def window_s(self) -> float | None:
        """Length of the audio window of a frame, in seconds; None if the model uses no audio."""
        ...

    @property
    def audio_channels(self) -> int:
        """Number of audio channels that the model uses: 1 for mono, 2 for left and right."""
        ...

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Build the processor that fits a model's configuration."""
        ...

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor from the folder of its model."""
        ...

    def save_pretrained(self, folder: str | Path) -> None:
        """Save the processor in the folder of its model."""
        ...

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model."""
        ...

    def post_process(
        self, outputs: AvsegOutput, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[npt.NDArray[np.bool_]]:
        """Convert mask logits to masks, (T, H, W) bool for each size."""
        ...

    def scores(self, outputs: AvsegOutput) -> npt.NDArray[np.float32]:
        """Compute the confidence of each mask, in [0, 1]."""
        ...


@runtime_checkable
class TextProcessor(ClipProcessor, Protocol):
    """Interface of the processor of a model with text prompts."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text prompts; the outputs have masks and scores for each of them."""
        ...

    def with_texts(self, texts: Sequence[str]) -> Self:
        """Return a copy with other text prompts."""
        ...


@runtime_checkable
class NamingProcessor(ClipProcessor, Protocol):
    """Interface of the processor of a model that names the sounding objects."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names among which the model chooses."""
        ...

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Return a copy with another vocabulary."""
        ...

    def sources(
        self, outputs: NamedOutput, size: tuple[int, int], threshold: float = 0.5
    ) -> list[NamedSource]:
        """Convert mask logits to masks (T, H, W) and scores of each predicted name."""
        ...


@runtime_checkable
class SegmentProcessor(ClipProcessor, Protocol):
    """Interface of a processor that also accepts the audio segments of the published code.

    The segments are for comparing with published results; see
    `avseg.models.av2t_sam.audio_segments`.
    """

    @property
    def inputs(self) -> Literal["whole_picture", "published"]:
        """Preprocessing of the frames, see `Av2tSamConfig.inputs`."""
        ...

    def __call__(
        self, clip: Clip, segments: npt.NDArray[np.float32] | None = None
    ) -> dict[str, Tensor]:
        """Convert one clip; `segments` (T, samples) replace the audio windows of its frames."""
        ...


class SavedTokenizer(Protocol):
    """Interface of a tokenizer that is saved in the folder of its model."""

    def save(self, folder: Path) -> None:
        """Write the tokenizer's file into an existing folder."""
        ...


@dataclass(frozen=True)
class BaseProcessor:
    """Base of the families' processors: loading and saving, masks and their scores.

    The processor of a family is a frozen dataclass. Its options are the fields that `==` compares;
    they are saved as JSON. Tokenizers and vocabulary are fields with `compare=False`, and each is
    saved in a file of its own.

    Attributes:
        audio_channels: Number of audio channels that the model uses: 1 for mono, 2 for left and
            right.
    """

    audio_channels: ClassVar[int] = 1

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor, with its tokenizers if it has any, from the folder of its model.

        Args:
            folder: Folder that `save_pretrained` wrote.

        Returns:
            The processor.

        Raises:
            CheckpointError: If a file is missing, a tokenizer is damaged, or the options are not
                those of this class.
        """
        options = read_options(folder, cls.option_names())
        return cls(**options, **cls._load_tokenizers(Path(folder)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the options as JSON, and the tokenizers if there are any.

        Args:
            folder: Folder of the model, created if it is missing.

        Raises:
            ValueError: If a tokenizer is missing, so that the saved processor could not be loaded.
        """
        # This may raise an error, so it comes before any file is written.
        tokenizers = self._tokenizers_to_save()
        write_options(folder, {name: getattr(self, name) for name in self.option_names()})
        for tokenizer in tokenizers:
            tokenizer.save(Path(folder))

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options that are saved."""
        return [each.name for each in fields(cls) if each.compare]

    def post_process(
        self, outputs: AvsegOutput, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[npt.NDArray[np.bool_]]:
        """Convert mask logits to masks of all sounding objects.

        Args:
            outputs: Outputs of the model for B clips.
            sizes: Height and width of each clip's video, in pixels.
            threshold: Probability above which a pixel belongs to the mask, in (0, 1).

        Returns:
            Masks of each clip, (T, H, W) bool.

        Raises:
            ValueError: If the threshold is not between 0 and 1, or the numbers of sizes and clips
                differ.
        """
        logits = required(outputs.mask_logits, "mask_logits")
        if len(sizes) != len(logits):
            raise ValueError(f"{len(logits)} clips need {len(logits)} sizes, got {len(sizes)}.")
        return [
            threshold_masks(clip_logits, size, threshold)
            for clip_logits, size in zip(logits, sizes, strict=True)
        ]

    def scores(self, outputs: AvsegOutput) -> npt.NDArray[np.float32]:
        """Compute the confidence of each mask: predicted IoU times presence probability.

        Args:
            outputs: Outputs of the model.

        Returns:
            Scores in [0, 1], in the shape of the predicted IoU. If the model has no object score,
            they are the predicted IoU.
        """
        # NumPy has no bfloat16, so the scores are converted to float32 first.
        scores = required(outputs.iou_predictions, "iou_predictions").float()
        # Without an object score, the score of a silent frame is the IoU that the decoder predicts.
        if outputs.object_score_logits is not None:
            scores = scores * outputs.object_score_logits.float().sigmoid()
        array: npt.NDArray[np.float32] = scores.detach().cpu().numpy()
        return array

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        """Load the tokenizers, by the names of their fields; the base class has none."""
        del folder
        return {}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        """Return the tokenizers, or raise an error if one is missing; the base class has none."""
        return ()


def read_options(folder: str | Path, names: Iterable[str]) -> dict[str, Any]:
    """Read the options of a processor.

    Args:
        folder: Folder that `write_options` wrote.
        names: Names of exactly the options that the file must have.

    Returns:
        The options by name.

    Raises:
        CheckpointError: If the file is missing or damaged, or has fewer, more or other options.
    """
    path = Path(folder) / PROCESSOR_FILE
    try:
        options: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist; give a folder that save_pretrained wrote."
        ) from error
    except (ValueError, RecursionError) as error:  # RecursionError for deeply nested brackets
        raise CheckpointError(
            f"{path} cannot be loaded, it is not JSON ({error}); copy or download the folder again."
        ) from error
    if not isinstance(options, dict):
        raise CheckpointError(
            f"{path} cannot be loaded, it must be a JSON object of options, got {options!r:.40}; "
            "copy or download the folder again."
        )
    # A missing option does not get a default value, because it could change the preprocessing of a
    # trained model without an error.
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
        folder: Created if it is missing.
        options: The options by name.
    """
    path = Path(folder) / PROCESSOR_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")


def check_sample_rate(clip: Clip, sample_rate: int) -> None:
    """Raise an error if the audio of a clip has another sample rate than the model needs.

    Args:
        clip: The clip.
        sample_rate: Sample rate that the model needs, in Hz.

    Raises:
        ClipError: If the clip has another sample rate.
    """
    if clip.sample_rate != sample_rate:
        raise ClipError(
            clip.origin,
            f"the audio is at {clip.sample_rate} Hz, the model needs {sample_rate} Hz; "
            f"read it with sample_rate={sample_rate}.",
        )


def audio_of_frames(
    clip: Clip,
    sample_rate: int,
    window_s: float,
    segments: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Return the audio of each frame: a window around its time, or a given segment.

    Args:
        clip: The clip.
        sample_rate: Sample rate that the model needs, in Hz.
        window_s: Length of a window, in seconds.
        segments: Audio of each frame that replaces the windows, (T, samples).

    Returns:
        Audio of each frame, (T, samples).

    Raises:
        ClipError: If the clip has another sample rate, or the numbers of segments and frames
            differ.
    """
    if segments is not None and len(segments) != len(clip.frames):
        raise ClipError(
            clip.origin,
            f"{len(segments)} audio segments for {len(clip.frames)} frames; give one for each.",
        )
    check_sample_rate(clip, sample_rate)
    return clip.audio_windows(window_s) if segments is None else segments


def threshold_masks(
    mask_logits: Tensor, size: tuple[int, int], threshold: float
) -> npt.NDArray[np.bool_]:
    """Resize the mask logits of a clip's frames and binarise them.

    Args:
        mask_logits: Before the sigmoid, (T, h, w).
        size: Height and width of the frames, in pixels.
        threshold: Probability above which a pixel belongs to the mask, in (0, 1).

    Returns:
        Masks, (T, H, W).

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold}.")
    # Logits are compared with the logit of the threshold, so no pixel needs a sigmoid.
    cut = float(np.log(threshold / (1 - threshold)))
    logits = mask_logits.detach().float()
    masks = torch.empty((len(logits), *size), dtype=torch.bool, device=logits.device)
    # One frame at a time, because the logits of a whole clip at the size of the video need much
    # memory.
    for frame, mask in zip(logits, masks, strict=True):
        torch.gt(resize_logits(frame[None], size)[0], cut, out=mask)
    return masks.cpu().numpy()


def required(values: Any, name: str) -> Tensor:
    """Return a tensor of the outputs, or raise a TypeError with its name if it is missing."""
    if not isinstance(values, Tensor):
        raise TypeError(f"the outputs have no {name}; give the outputs of the model.")
    return values


#: Mean and standard deviation of red, green and blue over 0..255, from the training of each
#: backbone.
SAM_STATISTICS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BEIT3_STATISTICS = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
SAM3_STATISTICS = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
CLIP_STATISTICS = (
    (122.7709383, 116.7460125, 104.09373615),
    (68.5005327, 66.6321579, 70.32316305),
)


def as_pixels(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Convert frames (T, H, W, 3) to a tensor (T, 3, H, W) of the same uint8 values."""
    # A mirrored video has negative strides, which torch does not support.
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize frames with antialiasing; the result differs from Pillow's by at most one grey level.

    Args:
        pixels: (T, 3, H, W) uint8.
        size: New height and width, in pixels.
        mode: "bilinear" or "bicubic".

    Returns:
        Frames of the new size, uint8.
    """
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=mode, antialias=True)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Compute the size of a frame that is scaled so that its longer side is S, as SAM does.

    Args:
        size: Height and width of the frame, in pixels.
        side: S.

    Returns:
        Height and width; the longer of them is S.
    """
    scale = side / max(size)
    # SAM rounds half up; Python's round() would round half to even.
    height, width = (int(length * scale + 0.5) for length in size)
    return height, width


def normalise(pixels: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Subtract the mean of a backbone's training images and divide by their standard deviation.

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
        keep_proportions: Whether to keep the proportions of a frame and pad it on the right or at
            the bottom; otherwise the frame is stretched to the square.

    Returns:
        Normalised pixels, (T, 3, S, S) float32.
    """
    size = (side, side)
    if keep_proportions:
        size = fitted_size((pixels.shape[-2], pixels.shape[-1]), side)
    resized = normalise(resize(pixels, size, "bilinear"), SAM_STATISTICS)
    # The padding is added after the normalisation, so its 0 stands for the mean colour, as in SAM.
    return F.pad(resized, (0, side - size[1], 0, side - size[0]))
