"""From a video to masks: the path of the data on one page.

`Segmenter.stream` reads a video in chunks. For each chunk, `_segment` selects the frames that are
not silent, and `_forward` prepares the inputs, runs the model and post-processes its outputs.
`load_segmenter` loads the model; `batch/` writes result folders.

T frames, H x W size of the video in pixels, S audio samples in the window of a frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from avseg.backbones.sam2_memory import MemoryBank
from avseg.checkpoints import DEFAULT_MODEL, find_checkpoint
from avseg.checkpoints.loading import Memory, load_checkpoint
from avseg.errors import DeviceError, PromptError
from avseg.media import stream_clips
from avseg.media.sound_changes import fit_windows
from avseg.models.model import AvsegModel
from avseg.models.processor import ClipProcessor, NamingProcessor, TextProcessor
from avseg.packed_mask import PackedMask
from avseg.types import (
    AudioSelection,
    AudioTrackOption,
    Clip,
    NamedSource,
    Segmentation,
)

#: Frames in one forward pass, and in one chunk of a streamed video. More frames at once need more
#: memory and save little time: av2t-sam-small takes 1.44, 1.31, 1.25, 1.23 and 1.21 s of CPU time
#: for 80 frames of the demo with 4, 8, 16, 32 and 64 frames at once (one thread).
FRAMES_PER_FORWARD = 16

#: Precision of matrix products.
Dtype = Literal["float32", "bfloat16", "float16"]
_PRODUCT_DTYPES: dict[Dtype, torch.dtype | None] = {
    "float32": None,  # the dtype of the weights, so autocast stays off
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Segmenter:
    """A model and its processor, which segment videos and clips.

    There are three kinds of models. Some mark all sounding objects in one mask. Some also name
    them, with names from a vocabulary, which `with_vocabulary` replaces. Some mark the objects that
    texts describe; `with_texts` sets the texts. Most of these do not use the audio.

    A frame is silent if its audio window is below -70 dBFS. It gets an empty mask and the score 0
    without a forward pass, unless the model does not use the audio. Where frames are closer
    together than their windows are long, the windows do not reach beyond a change of the sound, so
    that a mask starts and ends with its sound (`avseg.media.sound_changes`).

    Attributes:
        model: Model in evaluation mode.
        processor: Processor saved with the model.
        name: Name of the model in results.
        weights_sha256: Hash of the weights file; None for a model that was never saved.
        frames_per_forward: Largest number of frames in one forward pass.
        licence: Licence of the weights; None if not recorded.
    """

    model: AvsegModel
    processor: ClipProcessor
    name: str
    weights_sha256: str | None = None
    frames_per_forward: int = FRAMES_PER_FORWARD
    licence: str | None = None

    def __call__(
        self,
        path: str | os.PathLike[str],
        frames_per_second: float | None = None,
        threshold: float = 0.5,
        silent_ok: bool = False,
        audio_track: AudioTrackOption = "auto",
    ) -> Segmentation:
        """Segment a whole video and return all masks; `stream` is for long videos.

        Args:
            path: The video file.
            frames_per_second: Frames to segment per second; None for every frame of the video.
            threshold: Probability above which a pixel is marked, in (0, 1).
            silent_ok: Whether a video without an audio stream is accepted as silent.
            audio_track: Number of the audio track to use, from 1; "mix" for the sum of all tracks;
                "auto" for the default track, or another one if that is digitally silent.

        Returns:
            Masks at the size of the video.

        Raises:
            ClipError: If the video cannot be read, is damaged, or has no audio stream.
            PromptError: If the model needs a text and there is none.
            ValueError: If an option is out of its range.
        """
        chunks = self.stream(path, frames_per_second, threshold, silent_ok, audio_track=audio_track)
        return Segmentation.join(list(chunks))

    def stream(
        self,
        path: str | os.PathLike[str],
        frames_per_second: float | None = None,
        threshold: float = 0.5,
        silent_ok: bool = False,
        on_warning: Callable[[str], None] | None = None,
        audio_track: AudioTrackOption | AudioSelection = "auto",
    ) -> Iterator[Segmentation]:
        """Segment a video chunk by chunk, in memory that does not grow with its length.

        Args:
            path: The video file.
            frames_per_second: Frames to segment per second; None for every frame of the video.
            threshold: Probability above which a pixel is marked, in (0, 1).
            silent_ok: Whether a video without an audio stream is accepted as silent.
            on_warning: Called with each warning about the video; the log has them too. Those about
                the choice of the audio track come before the first chunk, all others after the
                last one.
            audio_track: Number of the audio track to use, from 1; "mix" for the sum of all tracks;
                "auto" for the default track, or another one if that is digitally silent; or a
                selection that `choose_audio` made before.

        Yields:
            Masks of the next frames, 16 at most, and fewer of large pictures. An error for missing
            frames comes after the last chunk, because only then are all frames counted.

        Raises:
            ClipError: If the video cannot be read, is damaged, or has no audio stream.
            PromptError: If the model needs a text and there is none.
            ValueError: If an option is out of its range.
        """
        # A model without an audio window needs no audio stream.
        silent_ok = silent_ok or self.processor.window_s is None
        memory: MemoryBank | None = None
        interval_s = None if frames_per_second is None else 1 / frames_per_second
        for clip in stream_clips(
            path,
            frames_per_second,
            self.processor.sample_rate,
            FRAMES_PER_FORWARD,
            silent_ok,
            on_warning,
            audio_track,
            self.processor.audio_channels,
        ):
            segmentation, memory = self._segment(clip, threshold, memory, interval_s)
            del clip  # large pictures need much memory while they are written
            yield segmentation
            del segmentation

    def segment_clip(self, clip: Clip, threshold: float = 0.5) -> Segmentation:
        """Segment a clip that is in memory already, such as one from `read_clip`.

        Args:
            clip: Frames, and audio at the sample rate of the processor. A model that uses left and
                right channel gets the mono audio as both if the clip has no `channels`.
            threshold: Probability above which a pixel is marked, in (0, 1).

        Returns:
            Masks at the size of the clip's frames.

        Raises:
            ClipError: If the audio has another sample rate.
            PromptError: If the model needs a text and there is none.
            ValueError: If the threshold is out of its range.
        """
        # The median, because the last of several equal intervals may be shorter.
        interval_s = None if clip.durations is None else float(np.median(clip.durations))
        return self._segment(clip, threshold, None, interval_s)[0]

    @torch.inference_mode()
    def _segment(
        self, clip: Clip, threshold: float, memory: MemoryBank | None, interval_s: float | None
    ) -> tuple[Segmentation, MemoryBank | None]:
        """Segment a clip, and return the memory bank for the frames after it.

        The memory bank goes from one forward pass to the next and from one chunk to the next, so
        that the masks do not depend on where a video is cut. Its size is bounded. Frames on which
        the model is not run are not added to it.
        """
        union = np.zeros(clip.frames.shape[:3], np.bool_)  # (T, H, W), over all sources
        best_scores = np.zeros(len(union), np.float32)  # (T,)
        size = clip.frames.shape[1], clip.frames.shape[2]
        # Masks and scores of each source in all frames. The masks are packed, because there may be
        # many sources.
        sources: dict[str, tuple[list[PackedMask], npt.NDArray[np.float32]]] = {}
        audible = None
        if self.processor.window_s is not None:
            clip, audible = fit_windows(clip, self.processor.window_s, interval_s)
        selected = np.arange(len(union)) if audible is None else np.flatnonzero(audible)
        # Each text is a prompt of its own for each frame, so more texts mean fewer frames at once,
        # except for a model whose masks depend on which frames are together.
        prompts = 1 if self.model.frames_are_fused else max(1, len(self.texts))
        step = max(1, self.frames_per_forward // prompts)
        for start in range(0, len(selected), step):
            index = selected[start : start + step]
            outputs = self._forward(_select_frames(clip, index), memory)
            memory = outputs.memory
            if not self.texts and not self.vocabulary:
                union[index] = self.processor.post_process(outputs, [size], threshold)[0]
                scores = self.processor.scores(outputs)[0]
                best_scores[index] = np.maximum(best_scores[index], scores)
                continue
            for source in self._named_sources(outputs, size, threshold):
                blank = [PackedMask(size)] * len(union), np.zeros_like(best_scores)
                masks, scores = sources.setdefault(source.name, blank)
                for k, mask in zip(index, source.packed, strict=True):
                    masks[k] = mask
                    union[k] |= mask.unpack()
                scores[index] = source.scores
                best_scores[index] = np.maximum(best_scores[index], source.scores)
        segmentation = Segmentation(
            origin=clip.origin,
            frame_times=clip.frame_times,
            masks=union,
            scores=best_scores,
            model=self.name,
            threshold=threshold,
            sources=(
                tuple(NamedSource(name, *found) for name, found in sources.items())
                if self.texts or self.vocabulary
                else None
            ),
            audible=audible,
            durations=clip.durations,
        )
        return segmentation, memory

    def _forward(self, clip: Clip, memory: MemoryBank | None) -> Any:
        """Run one forward pass; return the outputs of the model."""
        inputs = {name: values.to(self.device) for name, values in self.processor(clip).items()}
        # Most families have no memory, and their `forward` takes no such argument.
        optional = {} if memory is None else {"memory": memory}
        return self.model(**inputs, **optional)

    def _named_sources(
        self, outputs: Any, size: tuple[int, int], threshold: float
    ) -> Iterator[NamedSource]:
        """Yield the source of each text or predicted name, in the frames of one forward pass."""
        if isinstance(self.processor, NamingProcessor):
            yield from self.processor.sources(outputs, size, threshold)
            return
        # Text by text, because masks at the size of the video may be large.
        parts = outputs.mask_logits.chunk(len(self.texts))
        all_scores = self.processor.scores(outputs).reshape(len(self.texts), -1)
        for text, logits, scores in zip(self.texts, parts, all_scores, strict=True):
            part = replace(outputs, mask_logits=logits)
            (masks,) = self.processor.post_process(part, [size], threshold)
            yield NamedSource(text, masks, scores)

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts that describe what to mark; empty for a model that takes none."""
        return self.processor.texts if isinstance(self.processor, TextProcessor) else ()

    def with_texts(self, *texts: str) -> Segmenter:
        """Return a segmenter that marks what the texts describe.

        Args:
            *texts: One text for each object, such as "the dog on the left"; none for a model that
                takes no text.

        Returns:
            Segmenter with the same weights and the new texts.

        Raises:
            PromptError: If the model takes no text and there is one, or it needs a text and there
                is none, or a text is blank, too long, or has words that the model does not know.
        """
        if isinstance(self.processor, TextProcessor):
            return replace(self, processor=self.processor.with_texts(texts))
        if texts:
            raise PromptError(
                f"{self.name} marks sounding objects and takes no text, got {texts[0]!r}; leave "
                "the text out, or use a model of the family avseg-evf-sam, avseg-sam3 or "
                "avseg-auralsam2-text."
            )
        return self

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Names that the model can predict; empty for a model that predicts no names."""
        return self.processor.vocabulary if isinstance(self.processor, NamingProcessor) else ()

    def with_vocabulary(self, *names: str) -> Segmenter:
        """Return a segmenter whose model chooses among other names.

        Args:
            *names: Names of sounding objects; without any, the vocabulary stays the same.

        Returns:
            Segmenter with the same weights and the new vocabulary.

        Raises:
            PromptError: If the model predicts no names, or a name is blank, repeated, too long, or
                has words that the model does not know.
        """
        if not names:
            return self
        if not isinstance(self.processor, NamingProcessor):
            raise PromptError(
                f"{self.name} does not name sounding objects, so it takes no vocabulary; leave the "
                "vocabulary out, or use a model of the family avseg-cascade or avseg-tavis."
            )
        return replace(self, processor=self.processor.with_vocabulary(names))

    # These settings are read from the model, so that they cannot differ from what is computed.

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.device

    @property
    def dtype(self) -> Dtype:
        """Precision of matrix products."""
        names = {dtype: name for name, dtype in _PRODUCT_DTYPES.items()}
        return names[self.model.product_dtype]

    @property
    def image_size(self) -> int | None:
        """Side of SAM 2's square input in pixels if it is not the checkpoint's own, else None."""
        checkpoint_size = self.model.checkpoint_image_size
        if checkpoint_size is None:
            return None
        image_size: int = self.model.config.sam_config.image_size
        return None if image_size == checkpoint_size else image_size


def load_segmenter(
    name_or_path: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    memory: Memory = "normal",
    image_size: int | None = None,
    dtype: Dtype = "float32",
    *,
    offline: bool = False,
) -> Segmenter:
    """Load a model by name or from a folder.

    Args:
        name_or_path: A name from `avseg models`, or the folder of a saved model. A published model
            is downloaded and imported at first use; the log names the files and their licences.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one.
        memory: "low" keeps the weights in their file until a layer needs them, and runs the model
            on one frame at a time: the same masks in about a third of the memory. CPU only.
        image_size: Side of SAM 2's square input, in pixels, a multiple of 32; None for the
            checkpoint's own. Half the side is about a third of the work, and changes the masks
            (figures in docs/explanation/speed.md).
        dtype: Precision of matrix products. "bfloat16" is faster on GPUs and on processors with
            instructions for it, "float16" on GPUs; both change the masks a little (same page).
            Weights, normalisation layers and spectrograms stay in float32.
        offline: Whether to forbid downloads, as HF_HUB_OFFLINE=1 does.

    Returns:
        The segmenter.

    Raises:
        CheckpointError: If there is no such model, it cannot be downloaded or loaded, or it does
            not support that image size.
        DeviceError: If the device is not available, or `memory` is "low" and it is not the CPU.
        ValueError: If there is no such dtype.
    """
    if dtype not in _PRODUCT_DTYPES:
        raise ValueError(f"dtype must be {', '.join(_PRODUCT_DTYPES)}, got {dtype!r}.")
    chosen = _choose_device(device)
    if memory == "low" and chosen.type != "cpu":
        raise DeviceError(
            f"memory 'low' maps the weights file into memory, which only works on the CPU, and the "
            f"device is {chosen}; choose the device cpu, or the memory normal."
        )
    checkpoint = find_checkpoint(name_or_path, offline=offline, is_mapped=memory == "low")
    model, processor = load_checkpoint(checkpoint, memory, image_size)
    model.to(chosen)  # type: ignore[arg-type]  # the stubs of transformers hide torch's own
    model.product_dtype = _PRODUCT_DTYPES[dtype]
    return Segmenter(
        model,
        processor,
        checkpoint.name,
        checkpoint.sha256(),
        frames_per_forward=(
            1 if memory == "low" and not model.frames_are_fused else FRAMES_PER_FORWARD
        ),
        licence=checkpoint.licence,
    )


def _select_frames(clip: Clip, index: npt.NDArray[np.intp]) -> Clip:
    """Return a clip with the frames of an index and all of the audio."""
    if len(index) == len(clip.frames):
        return clip
    return replace(
        clip,
        frames=clip.frames[index],
        frame_times=clip.frame_times[index],
        audio_times=clip.audio_times[index],
        durations=None if clip.durations is None else clip.durations[index],
    )


def _choose_device(device: str) -> torch.device:
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto":
        return gpu or torch.device("cpu")
    try:
        chosen = torch.device(device)
        # A device may have a valid name and still be missing; allocating on it shows that.
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA support
        names = ", ".join(["auto", "cpu", *([gpu.type] if gpu else [])])
        raise DeviceError(f"device {device!r} is not available; choose one of {names}.") from error
    return chosen
