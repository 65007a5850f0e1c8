"""The path: a video is read, processed, given to the model, and its masks are written.

T frames, H x W size of the video, S samples of sound around a frame, K texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from avseg.backbones.sam2_memory import MemoryBank
from avseg.checkpoints import DEFAULT_MODEL, find_checkpoint
from avseg.checkpoints.loading import Memory, load_checkpoint
from avseg.errors import DeviceError, PromptError
from avseg.export import ResultKey, ResultSummary, Setting, find_result, write_result
from avseg.media import probe, stream_clips
from avseg.models.model import AvsegModel
from avseg.models.processor import ClipProcessor, NamingProcessor, TextProcessor
from avseg.types import Clip, NamedSource, Segmentation

#: Frames that go through the model at once: beyond 8 the small model gets no faster on a CPU, and
#: a large one must fit into the memory of a GPU.
FRAMES_PER_FORWARD = 16

#: A name, or None for what has none, its masks (T, H, W) and its scores (T,).
Marked = tuple[str | None, npt.NDArray[np.bool_], npt.NDArray[np.float32]]

#: What matrix products can be computed in.
Dtype = Literal["float32", "bfloat16", "float16"]
_DTYPES: dict[str, torch.dtype | None] = {
    "float32": None,  # that of the weights
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

#: Sound whose root mean square stays below this, relative to full scale, is no sound: the noise of
#: 16-bit rounding is at -101 dBFS, a quiet room recorded with a phone above -60.
SILENCE_DBFS = -70.0


@dataclass(frozen=True)
class Segmenter:
    """A model with its processor, ready for videos.

    To a model that listens, digital silence marks nothing: a frame whose window of sound is below
    -70 dBFS gets an empty mask and the score 0 without the model being asked. A model that is
    prompted by texts does not listen; `with_texts` says what it looks for. A model that names what
    sounds chooses among the names of a vocabulary; `with_vocabulary` gives it another.

    Attributes:
        model: In evaluation mode, on `device`.
        processor: The model's own.
        name: How results call the model.
        device: Where the model is.
        weights_sha256: Of the file the model was loaded from; None for a model never saved.
        image_size: Side of the pictures that SAM 2 sees, in pixels, if it is not the model's own.
        frames_per_forward: Frames that go through the model at once.
        dtype: What matrix products are computed in.
    """

    model: AvsegModel
    processor: ClipProcessor
    name: str
    device: torch.device
    weights_sha256: str | None = None
    image_size: int | None = None
    frames_per_forward: int = FRAMES_PER_FORWARD
    dtype: Dtype = "float32"

    @property
    def texts(self) -> tuple[str, ...]:
        """What is looked for, each a named source of the result; empty if the sound decides."""
        return self.processor.texts if isinstance(self.processor, TextProcessor) else ()

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names that a model which names what sounds chooses among; empty for any other."""
        return self.processor.vocabulary if isinstance(self.processor, NamingProcessor) else ()

    def with_vocabulary(self, *names: str) -> Segmenter:
        """Let a model that names what sounds choose among other names.

        Args:
            *names: The names; none leaves the model's own.

        Returns:
            The segmenter that chooses among them.

        Raises:
            PromptError: If the model names nothing, or a name is blank, twice there, too long, or
                not understood.
        """
        if not names:
            return self
        if not isinstance(self.processor, NamingProcessor):
            raise PromptError(
                f"{self.name} does not name what sounds, so it takes no vocabulary; leave it out, "
                "or take a model of the family avseg-cascade or avseg-tavis."
            )
        return replace(self, processor=self.processor.with_vocabulary(names))

    def with_texts(self, *texts: str) -> Segmenter:
        """Say what to look for, to a model that is prompted by texts.

        Args:
            *texts: One text for each source, such as "the dog on the left"; none for a model that
                listens.

        Returns:
            The segmenter that looks for it.

        Raises:
            PromptError: If the model listens and there is a text, or it takes texts and there is
                none, or one that is blank, too long, or not understood.
        """
        if isinstance(self.processor, TextProcessor):
            return replace(self, processor=self.processor.with_texts(texts))
        if texts:
            raise PromptError(
                f"{self.name} marks what sounds and takes no text, got {texts[0]!r}; leave the "
                "text out, or take a model of the family avseg-evf-sam."
            )
        return self

    def __call__(
        self,
        path: str | os.PathLike[str],
        frames_per_second: float | None = None,
        threshold: float = 0.5,
        silent_ok: bool = False,
    ) -> Segmentation:
        """Segment a whole video; for long ones see `stream`, whose memory does not grow.

        Args:
            path: The video file.
            frames_per_second: Frames to segment per second; None for every frame of the video.
            threshold: Probability above which a pixel is marked, in (0, 1).
            silent_ok: Whether a video without a sound track is taken for a silent one.

        Returns:
            Masks at the video's own size.

        Raises:
            ClipError: If the video cannot be read, is damaged, or has no sound.
            PromptError: If the model takes texts and has none.
            ValueError: If an option is out of its range.
        """
        return Segmentation.join(list(self.stream(path, frames_per_second, threshold, silent_ok)))

    def stream(
        self,
        path: str | os.PathLike[str],
        frames_per_second: float | None = None,
        threshold: float = 0.5,
        silent_ok: bool = False,
    ) -> Iterator[Segmentation]:
        """Segment a video of any length piece by piece.

        Args:
            path: The video file.
            frames_per_second: Frames to segment per second; None for every frame of the video.
            threshold: Probability above which a pixel is marked, in (0, 1).
            silent_ok: Whether a video without a sound track is taken for a silent one.

        Yields:
            Masks of the next 16 frames or fewer. Damage to the video shows at the end.

        Raises:
            ClipError: If the video cannot be read, is damaged, or has no sound.
            PromptError: If the model takes texts and has none.
            ValueError: If an option is out of its range.
        """
        sample_rate = self.processor.sample_rate
        soundless_ok = silent_ok or self.processor.window_s is None
        memory: MemoryBank | None = None
        for clip in stream_clips(
            path, frames_per_second, sample_rate, FRAMES_PER_FORWARD, soundless_ok
        ):
            segmentation, memory = self._segment(clip, threshold, memory)
            yield segmentation

    def segment_clip(self, clip: Clip, threshold: float = 0.5) -> Segmentation:
        """Segment a clip that has been read.

        Args:
            clip: Frames and sound, the sound at the processor's rate.
            threshold: Probability above which a pixel is marked, in (0, 1).

        Returns:
            Masks at the size of the clip's frames.

        Raises:
            ClipError: If the sound is at another rate.
            PromptError: If the model takes texts and has none.
            ValueError: If the threshold is out of its range.
        """
        return self._segment(clip, threshold, None)[0]

    def _segment(
        self, clip: Clip, threshold: float, memory: MemoryBank | None
    ) -> tuple[Segmentation, MemoryBank | None]:
        """Segment a clip with what the model remembers of the frames before it.

        What it remembers goes from forward pass to forward pass and from piece to piece, so that
        the masks do not depend on how a video is cut up; its size does not grow. Frames that the
        model is not asked about are not remembered.
        """
        union = np.zeros(clip.frames.shape[:3], np.bool_)  # (T, H, W)
        best = np.zeros(len(union), np.float32)
        sources: dict[str, NamedSource] = {}
        worth_asking = self._worth_asking(clip)
        step = max(1, self.frames_per_forward // max(1, len(self.texts)))
        for start in range(0, len(worth_asking), step):
            index = worth_asking[start : start + step]
            marked, memory = self._ask_model(_take(clip, index), threshold, memory)
            for name, masks, scores in marked:
                union[index] |= masks
                best[index] = np.maximum(best[index], scores)
                if name is None:
                    continue
                if name not in sources:
                    sources[name] = NamedSource(name, np.zeros_like(union), np.zeros_like(best))
                sources[name].masks[index], sources[name].scores[index] = masks, scores
        segmentation = Segmentation(
            origin=clip.origin,
            frame_times=clip.frame_times,
            masks=union,
            scores=best,
            model=self.name,
            threshold=threshold,
            sources=tuple(sources.values()) if self.texts or self.vocabulary else None,
        )
        return segmentation, memory

    def _worth_asking(self, clip: Clip) -> npt.NDArray[np.intp]:
        """Number the frames in which the model may find something."""
        window_s = self.processor.window_s
        if window_s is None:
            return np.arange(len(clip.frames))
        return np.flatnonzero(_is_audible(clip.audio_windows(window_s)))

    @torch.inference_mode()
    def _ask_model(
        self, clip: Clip, threshold: float, memory: MemoryBank | None
    ) -> tuple[list[Marked], MemoryBank | None]:
        """Give masks and scores of each name, or of all that sounds without one; and the memory."""
        inputs = {name: values.to(self.device) for name, values in self.processor(clip).items()}
        remembered = {} if memory is None else {"memory": memory}
        outputs: Any = self.model(**inputs, **remembered)
        height, width = clip.frames.shape[1:3]
        if isinstance(self.processor, NamingProcessor):
            sources = self.processor.sources(outputs, (height, width), threshold)
            return [(each.name, each.masks, each.scores) for each in sources], outputs.memory
        names = self.texts or (None,)
        masks = self.processor.post_process(outputs, [(height, width)] * len(names), threshold)
        scores = self.processor.scores(outputs).reshape(len(names), -1)
        return list(zip(names, masks, scores, strict=True)), outputs.memory


def load_segmenter(
    name_or_path: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    memory: Memory = "normal",
    image_size: int | None = None,
    dtype: Dtype = "float32",
    *,
    offline: bool = False,
) -> Segmenter:
    """Load a model by its name, or from its folder.

    Args:
        name_or_path: A name that `avseg models` shows, or the folder of a saved model. A published
            model is downloaded and imported the first time; the log says what, and on which terms.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one.
        memory: "low" leaves the weights in their file until they are computed with, and takes one
            frame at a time: the same masks in about a third of the memory, on the CPU only.
        image_size: Side of the pictures that SAM 2 sees, in pixels, a multiple of 32; None for the
            one the model was trained with. Half of it is about a third of the work, and moves the
            masks: docs/explanation/speed.md has figures.
        dtype: What matrix products are computed in: "bfloat16" takes less time on processors with
            instructions for it and on GPUs, "float16" on GPUs; either moves the masks a little
            (docs/explanation/speed.md). Weights, norms and spectrograms stay in float32.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.

    Returns:
        The segmenter.

    Raises:
        CheckpointError: If there is no such model, or it cannot be downloaded or loaded, or cannot
            see pictures of that side.
        DeviceError: If there is no such device, or low memory is asked for on another than the CPU.
        ValueError: If there is no such dtype.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be {', '.join(_DTYPES)}, got {dtype!r}.")
    chosen = _choose_device(device)
    if memory == "low" and chosen.type != "cpu":
        raise DeviceError(
            f"memory 'low' keeps weights in a file that only the CPU can read, and the device is "
            f"{chosen}; choose the device cpu, or the memory normal."
        )
    checkpoint = find_checkpoint(name_or_path, offline=offline)
    model, processor = load_checkpoint(checkpoint, memory, image_size)
    model.to(chosen)  # type: ignore[arg-type]  # the stubs of transformers hide torch's own
    model.product_dtype = _DTYPES[dtype]
    return Segmenter(
        model,
        processor,
        checkpoint.name,
        chosen,
        checkpoint.sha256(),
        image_size,
        1 if memory == "low" else FRAMES_PER_FORWARD,
        dtype,
    )


@dataclass(frozen=True)
class SegmentOptions:
    """What a user chooses when videos are segmented into folders.

    Attributes:
        frames_per_second: Frames to segment per second; None for every frame of the video.
        threshold: Probability above which a pixel is marked, in (0, 1).
        silent_ok: Whether a video without a sound track is taken for a silent one; a model that
            takes texts never minds.
        overlay: Whether an overlay video is wanted.
    """

    frames_per_second: float | None = None
    threshold: float = 0.5
    silent_ok: bool = False
    overlay: bool = True


@dataclass(frozen=True)
class FolderResult:
    """What became of one video.

    Attributes:
        summary: What its folder holds.
        was_there: Whether an earlier run with the same options had written it.
    """

    summary: ResultSummary
    was_there: bool


def segment_to_folder(
    segmenter: Segmenter,
    path: str | os.PathLike[str],
    folder: Path,
    options: SegmentOptions,
    on_progress: Callable[[float], None] = lambda _: None,
) -> FolderResult:
    """Segment a video of any length into a folder: overlay, masks, figures.

    The folder appears when it is complete; a complete one of the same video, model and options is
    left as it is.

    Args:
        segmenter: A model loaded from a file.
        path: The video file.
        folder: The folder to make, one for each video.
        options: What the user chose.
        on_progress: Called now and then with the share of the video that is done, in [0, 1].

    Returns:
        What the folder holds.

    Raises:
        ClipError: If the video cannot be read, is damaged, or has no sound.
        PromptError: If the model takes texts and has none.
        OutputError: If the folder cannot be written, or holds something else.
        ValueError: If the model was never saved, so that nobody could tell which it was.
    """
    if segmenter.weights_sha256 is None:
        raise ValueError(
            f"the model {segmenter.name!r} was never saved; save it and load it with "
            "load_segmenter, so that the result can name its weights."
        )
    # A finished silent result is finished with --silent-ok and without, so that is no setting.
    settings: dict[str, Setting] = {
        name: value
        for name, value in asdict(options).items()
        if name in ("frames_per_second", "threshold")
    }
    if segmenter.texts:
        settings["texts"] = list(segmenter.texts)
    if segmenter.vocabulary:
        settings["vocabulary"] = list(segmenter.vocabulary)
    if segmenter.image_size is not None:
        settings["image_size"] = segmenter.image_size
    if segmenter.dtype != "float32":
        settings["dtype"] = segmenter.dtype
    run = ResultKey(probe(path), segmenter.weights_sha256, settings, options.overlay)
    done = find_result(folder, run)
    if done is not None:
        return FolderResult(done, was_there=True)

    def watched() -> Iterator[Segmentation]:
        for part in segmenter.stream(
            path, options.frames_per_second, options.threshold, options.silent_ok
        ):
            yield part
            share = (part.frame_times[-1] - run.video.start_s) / max(run.video.duration_s, 1e-9)
            on_progress(float(np.clip(share, 0, 1)))

    return FolderResult(write_result(watched(), folder, run), was_there=False)


def _is_audible(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Tell which windows of sound, (T, S), are louder than silence, (T,)."""
    rms = np.sqrt(np.square(windows, dtype=np.float64).mean(axis=1))
    loud: npt.NDArray[np.bool_] = rms > 10 ** (SILENCE_DBFS / 20)
    return loud


def _take(clip: Clip, index: npt.NDArray[np.intp]) -> Clip:
    """Keep some frames of a clip, and all its sound."""
    if len(index) == len(clip.frames):
        return clip
    return replace(
        clip,
        frames=clip.frames[index],
        frame_times=clip.frame_times[index],
        audio_times=clip.audio_times[index],
    )


def _choose_device(device: str) -> torch.device:
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto":
        return gpu or torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise DeviceError(
            f"there is no device {device!r} here; give auto, cpu{f' or {gpu.type}' if gpu else ''}."
        ) from error
    return chosen
