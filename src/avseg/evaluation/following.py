"""Whether the mask goes to what sounds: scenes of SynthAVS, with each of their objects alone.

T frames of H x W pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

from avseg.evaluation.prediction import predict
from avseg.media.clip import FRAME_POSITION
from avseg.segmenter import Segmenter
from avseg.synthavs.clips import (
    SoundEvent,
    SyntheticClip,
    make_stems,
    mix,
)
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit
from avseg.types import Clip

#: Share of the picture from which on an object counts as visible.
VISIBLE_AREA = 0.002


@dataclass(frozen=True)
class FollowingScores:
    """How well masks follow the sound, over frames that show several categories.

    Attributes:
        follows: Share of the frames in which the mask has a larger IoU with what sounds than with
            anything else that is visible. Chance is one over the number of categories.
        iou: Mean IoU with what sounds.
        iou_of_others: Mean IoU with what is visible and silent; low is better.
        scene_count: How many scenes had such frames.
        frame_count: How many such frames there were, each once for every sound.
    """

    follows: float
    iou: float
    iou_of_others: float
    scene_count: int
    frame_count: int


def measure_following(
    segmenter: Segmenter,
    scenes: Iterable[SyntheticClip],
    parameter_split: ParameterSplit,
    threshold: float = 0.5,
    seed: int = 0,
) -> FollowingScores | None:
    """Let each object of a scene sound alone, and look where the mask goes.

    Two of a kind sound together, since nothing in the sound tells them apart.

    Args:
        segmenter: The model and its processor.
        scenes: Clips whose scenes are taken; their own sounds are not.
        parameter_split: Which synthesis parameters the sounds have.
        threshold: Probability above which a pixel is marked, in (0, 1).
        seed: Of the sounds.

    Returns:
        The scores; None if no scene shows several categories at once.
    """
    ious: list[tuple[float, NDArray[np.float64]]] = []
    scene_count = 0
    for number, scene in enumerate(scenes):
        before = len(ious)
        rng = np.random.default_rng((seed, number))
        ious += _follow(segmenter, scene, parameter_split, threshold, rng)
        scene_count += len(ious) > before
    if not ious:
        return None
    return FollowingScores(
        follows=float(np.mean([own > others.max() for own, others in ious])),
        iou=float(np.mean([own for own, _ in ious])),
        iou_of_others=float(np.concatenate([others for _, others in ious]).mean()),
        scene_count=scene_count,
        frame_count=len(ious),
    )


def sound_of(
    scene: SyntheticClip, category: str, parameter_split: ParameterSplit, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Synthesise what a scene sounds like if all its objects of one category sound throughout.

    Args:
        scene: The scene.
        category: What sounds.
        parameter_split: Which synthesis parameters.
        rng: Source of chance.

    Returns:
        Sound, (T * SAMPLE_RATE,) in [-1, 1].
    """
    seconds = scene.seconds
    number = [thing.category for thing in scene.scene.objects].index(category) + 1
    sources = [SoundEvent(category, number, np.ones(seconds, bool))]
    return mix(make_stems(rng, sources, parameter_split, seconds))


def _follow(
    segmenter: Segmenter,
    scene: SyntheticClip,
    parameter_split: ParameterSplit,
    threshold: float,
    rng: np.random.Generator,
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield for each frame and sound the IoU with what sounds, and those with the rest."""
    categories = sorted({thing.category for thing in scene.scene.objects})
    if len(categories) < 2:
        return
    frames, truth = _render(scene, categories)
    visible = truth.mean(axis=(2, 3)) >= VISIBLE_AREA  # (C, T)
    for number, category in enumerate(categories):
        audio = sound_of(scene, category, parameter_split, rng)
        clip = _clip(frames, audio, segmenter.processor.sample_rate)
        probs = predict(segmenter, clip, clip.audio[None]).mask_probs(frames.shape[1:3])
        masks = probs.numpy() > threshold  # (T, H, W)
        shared = (truth & masks).sum(axis=(2, 3))
        iou = shared / np.maximum((truth | masks).sum(axis=(2, 3)), 1)  # (C, T)
        for t in np.flatnonzero(visible[number]):
            others = visible[:, t].copy()
            others[number] = False
            if others.any():
                yield float(iou[number, t]), iou[others, t]


def _render(
    scene: SyntheticClip, categories: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Paint all frames, (T, H, W, 3), and mark each of C categories in them, (C, T, H, W)."""
    seconds = scene.seconds
    painted = [scene.frame(second) for second in range(seconds)]
    numbers = np.stack([labels for _, labels in painted])  # (T, H, W)
    shown = [thing.category for thing in scene.scene.objects]
    truth = np.stack(
        [
            np.isin(numbers, [i for i, name in enumerate(shown, start=1) if name == category])
            for category in categories
        ]
    )
    return np.stack([frame for frame, _ in painted]), truth


def _clip(frames: NDArray[np.uint8], audio: NDArray[np.float32], sample_rate: int) -> Clip:
    if sample_rate != SAMPLE_RATE:
        resampled = scipy.signal.resample_poly(audio, sample_rate, SAMPLE_RATE)
        audio = np.clip(resampled, -1, 1).astype(np.float32)
    seconds = np.arange(len(frames), dtype=np.float64)
    return Clip(
        origin="a scene of SynthAVS",
        frames=frames,
        frame_times=seconds + FRAME_POSITION,
        audio_times=seconds + 0.5,
        audio=audio,
        audio_start_s=0.0,
        sample_rate=sample_rate,
    )
