"""Checks of a model: its files, its weights, and a short clip through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import psutil
import torch
from scipy.signal import resample_poly  # type: ignore[import-untyped]

from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.known_models import describe_size
from avseg.checkpoints.model_folder import Checkpoint, recorded_origins
from avseg.diagnosis.check import Check
from avseg.errors import AvsegError
from avseg.media import read_clip
from avseg.models.processor import TextProcessor
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.sounds.signal import SAMPLE_RATE
from avseg.types import Clip, Segmentation

#: Longest part of a video that is segmented, in frames.
_FRAMES = 5
#: Share of the picture that a plausible mask covers at most.
_LARGEST_SHARE = 0.9


@dataclass(frozen=True)
class ModelTest:
    """Model to check and the clip for it.

    Attributes:
        model: Name or folder of the model.
        video: Video whose first seconds are segmented; None for a drawn clip of SynthAVS.
        text: Objects to mark, for a model that is prompted by texts.
        device: Device, as for `load_segmenter`.
        offline: Whether to forbid downloads.
    """

    model: str
    video: Path | None = None
    text: str = "dog"
    device: str = "auto"
    offline: bool = False


def check_model(test: ModelTest) -> Iterator[Check]:
    """Download, import and load a model, segment a short clip, and check each step.

    Args:
        test: The model and the clip.

    Yields:
        The result of each check as soon as it is known; after an error no other check follows.
    """
    begin_s = time.monotonic()
    try:
        checkpoint = find_checkpoint(test.model, offline=test.offline)
        yield _check_files(checkpoint, time.monotonic() - begin_s)
        begin_s = time.monotonic()
        segmenter = load_segmenter(checkpoint.folder, test.device, offline=True)
        weights = _check_weights(segmenter, time.monotonic() - begin_s)
        yield weights
        if weights.status == "error":
            return
        clip = _read(test.video, segmenter)
        if isinstance(segmenter.processor, TextProcessor):
            segmenter = segmenter.with_texts(test.text)
        begin_s = time.monotonic()
        segmentation = segmenter.segment_clip(clip)
        yield from _check_masks(segmentation, time.monotonic() - begin_s, test.video)
        yield _check_memory(segmenter.device)
    except AvsegError as error:
        yield Check(type(error).__name__, "error", str(error), "follow the message, and try again.")
    except ValueError as error:  # a result whose scores are not finite is refused
        yield Check("scores", "error", str(error), "this model and clip cannot be used; report it.")


def _check_files(checkpoint: Checkpoint, seconds: float) -> Check:
    """Describe the files of a model; `find_checkpoint` has verified their hashes already."""
    found = (
        f"{checkpoint.folder}, weights with SHA-256 {checkpoint.sha256()}, after {seconds:.0f} s"
    )
    for origin in recorded_origins(checkpoint.folder):
        # The files of a cascade all have the same name, so their roles are needed.
        found += f"; {origin['role']} from {origin['file']}, SHA-256 {origin['sha256']}"
    return Check("files", "ok", found)


def _check_weights(segmenter: Segmenter, seconds: float) -> Check:
    """Check that all weights are finite; loading has refused missing and unexpected keys."""
    state = segmenter.model.state_dict()
    infinite = [name for name, values in state.items() if not values.isfinite().all()]
    if infinite:
        return Check(
            "weights",
            "error",
            f"{len(infinite)} of {len(state)} tensors have values that are not finite, first "
            f"{infinite[0]}",
            "download or copy the model again.",
        )
    count = sum(values.numel() for values in state.values())
    found = f"{len(state)} tensors, {count / 1e6:.1f} M values, all keys known, all values finite"
    return Check("weights", "ok", f"{found}; loaded in {seconds:.0f} s on {segmenter.device}")


def _read(video: Path | None, segmenter: Segmenter) -> Clip:
    """Read the first seconds of a video, one frame per second, or draw a clip of SynthAVS."""
    sample_rate = segmenter.processor.sample_rate
    if video is None:
        return _draw(sample_rate)
    clip = read_clip(
        video,
        1,
        sample_rate,
        silent_ok=segmenter.processor.window_s is None,
        audio_channels=segmenter.processor.audio_channels,
    )
    return replace(
        clip,
        frames=clip.frames[:_FRAMES],
        frame_times=clip.frame_times[:_FRAMES],
        audio_times=clip.audio_times[:_FRAMES],
        durations=None,
    )


def _draw(sample_rate: int) -> Clip:
    drawn = draw_clip(SynthavsOptions(subset="s4", clips=1), "test", 0)
    common = gcd(sample_rate, SAMPLE_RATE)
    audio = resample_poly(drawn.audio, sample_rate // common, SAMPLE_RATE // common)
    centres = np.arange(_FRAMES, dtype=np.float64) + 0.5
    return Clip(
        "a drawn clip",
        np.stack([drawn.frame(second)[0] for second in range(_FRAMES)]),
        centres,
        centres,
        np.clip(audio, -1, 1).astype(np.float32),
        0.0,
        sample_rate,
    )


def _check_masks(segmentation: Segmentation, seconds: float, video: Path | None) -> Iterator[Check]:
    """Check the areas of the masks, and report the time for each frame."""
    frames, height, width = segmentation.masks.shape
    shares = segmentation.masks.mean(axis=(1, 2))
    found = f"{(shares > 0).sum()} of {frames} frames marked, largest mask {shares.max():.1%}"
    if shares.max() == 0:
        clip = "the drawn clip; give a filmed VIDEO" if video is None else "this video; try another"
        yield Check("masks", "warning", found, f"the model marks nothing in {clip}.")
    elif shares.max() > _LARGEST_SHARE:
        yield Check(
            "masks", "warning", found, "a mask covers nearly the whole picture; look at it."
        )
    else:
        yield Check("masks", "ok", found)
    names = ", ".join(source.name for source in segmentation.sources or ())
    if names:
        yield Check("names", "ok", names)
    yield Check("speed", "ok", f"{seconds / frames:.2f} s a frame of {width} x {height} pixels")


def _check_memory(device: torch.device) -> Check:
    found = f"{describe_size(psutil.Process().memory_info().rss)} of the process after the clip"
    if device.type == "cuda":
        peak = describe_size(torch.cuda.max_memory_allocated(device))
        found += f", at most {peak} on {torch.cuda.get_device_name(device)}"
    return Check("memory", "ok", found)
