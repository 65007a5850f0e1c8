"""Robustness tests: whether a model uses the audio of a clip.

There are two tests. The first test replaces the audio of a clip, and compares the masks with the
ground truth for the new audio (`Condition`). The second test synthesises audio for scenes of
SynthAVS in which only one category sounds, and measures whether the mask follows it
(`measure_following`).

Three conditions are negative, as in AVSBench-Robust (arXiv:2502.00358): under silence, noise and an
off-screen sound, no visible object sounds. Three further conditions distinguish masks that follow
the audio from masks that ignore it: the original audio shifted in time, the sound of a silent
object, and the original audio without one of its sources. The last two, and the ground truth of the
shifted audio, need a clip that SynthAVS can render again.

A clip has T frames of H x W pixels, N categories, and C channels with S samples of audio.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

from avseg.evaluation.prediction import Predictor, Waveform
from avseg.media.clip import FRAME_POSITION
from avseg.synthavs.clips import SoundEvent, SyntheticClip, make_stems, mix
from avseg.synthavs.contents import ClipContents, SynthavsSplit, find_off_screen_audio
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit
from avseg.types import Clip

#: Root mean square of the noise, relative to full scale: about that of one source in SynthAVS.
NOISE_LEVEL = 0.1

#: Time by which the audio is shifted, in seconds.
SHIFT_S = 2

#: Name of each condition -> the audio that replaces the original one.
DESCRIPTIONS: dict[str, str] = {
    "muted": "digital silence",
    "noise": "white noise",
    "off-screen": "the audio of another clip, of an object that is not in the picture",
    "shifted": f"the original audio, {SHIFT_S} s later, its end at the beginning",
    "silent object": "the sound of a visible object that is silent in the original audio",
    "one removed": "the original audio without one of its sources",
}

#: Conditions under which no visible object sounds.
NEGATIVES = ("muted", "noise", "off-screen")

#: Smallest share of the picture that an object must cover to count as visible.
VISIBLE_AREA = 0.002


def mute(audio: Waveform) -> Waveform:
    """Return digital silence in the shape of the given audio.

    Args:
        audio: The audio, (C, S).

    Returns:
        Zeros, (C, S).
    """
    return np.zeros_like(audio)


def white_noise(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Draw white noise in the shape of the given audio; no object makes such a sound.

    Args:
        audio: The audio, (C, S).
        rng: Random generator.

    Returns:
        The same noise in all channels, (C, S).
    """
    # The same noise in all channels, so that stereo models do not get a spatial cue.
    noise = NOISE_LEVEL * rng.standard_normal(audio.shape[1], np.float32)
    return np.tile(np.clip(noise, -1, 1), (len(audio), 1))


def shift(audio: Waveform, sample_rate: int) -> Waveform:
    """Delay the audio by `SHIFT_S` seconds; its end wraps around to the beginning.

    Args:
        audio: The audio, (C, S).
        sample_rate: Sample rate, in Hz.

    Returns:
        The shifted audio, (C, S).
    """
    return np.roll(audio, SHIFT_S * sample_rate, axis=1)


def fit_length(audio: Waveform, samples: int) -> Waveform:
    """Cut the audio to a length, or pad it with silence.

    Args:
        audio: The audio, (C, S).
        samples: Number of samples per channel.

    Returns:
        The audio, (C, samples).
    """
    return np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))


@dataclass(frozen=True, eq=False)
class Condition:
    """A clip with replaced audio.

    Attributes:
        name: Key of `DESCRIPTIONS`.
        audio: The audio that replaces the original one, (C, S), at the same sample rate.
        truth: Ground truth for this audio, (T, H, W) bool; None if it is unknown.
    """

    name: str
    audio: Waveform
    truth: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Conditions:
    """The conditions of each clip of a split.

    Attributes:
        sample_rate: Sample rate of all audio, in Hz.
        read_audio: Function that reads the original audio of a clip by its number, (C, S).
        contents: Visible and audible categories of each clip; None if the data set does not list
            them.
        generated: The split of SynthAVS, whose clips can be rendered again; None for other data.
    """

    sample_rate: int
    read_audio: Callable[[int], Waveform]
    contents: Sequence[ClipContents] | None
    generated: SynthavsSplit | None

    def of(self, index: int, masks: NDArray[np.bool_]) -> Iterator[Condition]:
        """Build the conditions of a clip that the metadata of the data set allow.

        Args:
            index: Number of the clip in its split; also the seed of all random choices.
            masks: Ground truth for the original audio, (T, H, W).

        Yields:
            The conditions, in the order of `DESCRIPTIONS`.
        """
        # Seeded by the clip, so that its conditions do not depend on the clips before it.
        rng = np.random.default_rng(index)
        audio = self.read_audio(index)
        empty = np.zeros_like(masks)
        yield Condition("muted", mute(audio), empty)
        yield Condition("noise", white_noise(audio, rng), empty)
        other = None if self.contents is None else find_off_screen_audio(self.contents, index)
        if other is not None:
            off_screen = fit_length(self.read_audio(other), audio.shape[1])
            yield Condition("off-screen", off_screen, empty)
        shifted = shift(audio, self.sample_rate)
        if self.generated is None:
            # Recorded data have ground truth for the original audio only.
            yield Condition("shifted", shifted, None)
            return
        scene = self.generated.draw(index)
        yield Condition("shifted", shifted, _sounding_pixels(scene, -SHIFT_S))
        yield from self._with_silent_object(scene, self.generated, rng)
        yield from self._with_one_removed(scene, rng)

    def _with_silent_object(
        self, scene: SyntheticClip, generated: SynthavsSplit, rng: np.random.Generator
    ) -> Iterator[Condition]:
        visible = {thing.category for thing in scene.scene.objects}
        # Sorted, because the order of a set of strings differs from process to process.
        silent = sorted(visible - {event.category for event in scene.sound_events})
        if silent:
            # All objects of the category are ground truth, since the audio cannot distinguish them.
            category = str(rng.choice(silent))
            audio = synthesize_category(scene, category, generated.parameter_split, rng)
            numbers = [
                number
                for number, thing in enumerate(scene.scene.objects, start=1)
                if thing.category == category
            ]
            truth = _pixels(scene, [numbers] * scene.seconds)
            yield Condition("silent object", self._convert_rate(audio), truth)

    def _with_one_removed(
        self, scene: SyntheticClip, rng: np.random.Generator
    ) -> Iterator[Condition]:
        # Off-screen sounds (object number 0) have no mask, so removing one would test nothing.
        visible = sorted({event.category for event in scene.sound_events if event.object_number})
        if len(visible) > 1:
            reduced = scene.without(str(rng.choice(visible)))
            audio = self._convert_rate(reduced.audio)
            yield Condition("one removed", audio, _sounding_pixels(reduced))

    def _convert_rate(self, audio: NDArray[np.float32]) -> Waveform:
        if self.sample_rate != SAMPLE_RATE:
            audio = scipy.signal.resample_poly(audio, self.sample_rate, SAMPLE_RATE)
        return np.clip(audio, -1, 1).astype(np.float32)[None]


@dataclass(frozen=True)
class FollowingScores:
    """Scores of how well masks follow the audio, over frames with several visible categories.

    Attributes:
        follows: Share of the frames in which the mask has a larger IoU with the sounding category
            than with any other visible category. With n visible categories, a random choice scores
            1 / n.
        iou: Mean IoU with the sounding category.
        iou_of_others: Mean IoU with the visible, silent categories; lower is better.
        scene_count: Number of scenes with such frames.
        frame_count: Number of such frames; a frame counts once for each category that sounds alone.
    """

    follows: float
    iou: float
    iou_of_others: float
    scene_count: int
    frame_count: int


def measure_following(
    predictor: Predictor,
    scenes: Iterable[SyntheticClip],
    parameter_split: ParameterSplit,
    threshold: float = 0.5,
    seed: int = 0,
) -> FollowingScores | None:
    """Measure whether the mask follows the audio, with one category of a scene sounding at a time.

    Two objects of one category sound together, since the audio cannot distinguish them.

    Args:
        predictor: The model.
        scenes: Clips whose frames are used; their audio is replaced by synthesised audio.
        parameter_split: Split of the synthesis parameters of the sounds.
        threshold: Probability above which a pixel is marked, in (0, 1).
        seed: Seed of the sounds.

    Returns:
        The scores; None if no scene shows several categories at once.
    """
    ious: list[tuple[float, NDArray[np.float64]]] = []
    scene_count = 0
    for number, scene in enumerate(scenes):
        before = len(ious)
        rng = np.random.default_rng((seed, number))
        ious += _ious_of_scene(predictor, scene, parameter_split, threshold, rng)
        scene_count += len(ious) > before
    if not ious:
        return None
    return FollowingScores(
        follows=float(np.mean([sounding > others.max() for sounding, others in ious])),
        iou=float(np.mean([sounding for sounding, _ in ious])),
        iou_of_others=float(np.concatenate([others for _, others in ious]).mean()),
        scene_count=scene_count,
        frame_count=len(ious),
    )


def synthesize_category(
    scene: SyntheticClip,
    category: str,
    parameter_split: ParameterSplit,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Synthesise audio for a scene in which only one category sounds, from start to end.

    Args:
        scene: The scene.
        category: The sounding category.
        parameter_split: Split of the synthesis parameters.
        rng: Random generator.

    Returns:
        Audio, (T * SAMPLE_RATE,) in [-1, 1].
    """
    seconds = scene.seconds
    # The number of the first such object; `make_stems` uses only the category.
    number = [thing.category for thing in scene.scene.objects].index(category) + 1
    events = [SoundEvent(category, number, np.ones(seconds, bool))]
    return mix(make_stems(rng, events, parameter_split, seconds))


def _ious_of_scene(
    predictor: Predictor,
    scene: SyntheticClip,
    parameter_split: ParameterSplit,
    threshold: float,
    rng: np.random.Generator,
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield, for each frame and sound, the IoU with the sounding category and with the others."""
    categories = sorted({thing.category for thing in scene.scene.objects})
    if len(categories) < 2:
        return  # with one category, the mask cannot be on a wrong one
    frames, truth = _render(scene, categories)
    visible = truth.mean(axis=(2, 3)) >= VISIBLE_AREA  # (N, T)
    for number, category in enumerate(categories):
        audio = synthesize_category(scene, category, parameter_split, rng)
        clip = _as_clip(frames, audio, predictor.sample_rate)
        probs = predictor.predict(clip, clip.audio[None]).mask_probs(frames.shape[1:3])
        masks = probs.numpy() > threshold  # (T, H, W)
        shared = (truth & masks).sum(axis=(2, 3))
        # `maximum` avoids 0 / 0 for an invisible category with an empty mask; it is skipped below.
        iou = shared / np.maximum((truth | masks).sum(axis=(2, 3)), 1)  # (N, T)
        for t in np.flatnonzero(visible[number]):
            # Without another visible category, every non-empty mask would count as following.
            others = visible[:, t].copy()
            others[number] = False
            if others.any():
                yield float(iou[number, t]), iou[others, t]


def _render(
    scene: SyntheticClip, categories: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Render all frames, (T, H, W, 3), and the masks of each category, (N, T, H, W)."""
    drawn = [scene.frame(second) for second in range(scene.seconds)]
    # Where objects overlap, the pixel has the number of the object in front.
    numbers = np.stack([labels for _, labels in drawn])  # object numbers, (T, H, W)
    shown = [thing.category for thing in scene.scene.objects]
    truth = np.stack(
        [
            np.isin(numbers, [i for i, name in enumerate(shown, start=1) if name == category])
            for category in categories
        ]
    )
    return np.stack([frame for frame, _ in drawn]), truth


def _as_clip(frames: NDArray[np.uint8], audio: NDArray[np.float32], sample_rate: int) -> Clip:
    if sample_rate != SAMPLE_RATE:
        resampled = scipy.signal.resample_poly(audio, sample_rate, SAMPLE_RATE)
        # Resampling can overshoot full scale.
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


def _sounding_pixels(scene: SyntheticClip, offset_s: int = 0) -> NDArray[np.bool_]:
    """Return, for each frame, the mask of the objects that sound `offset_s` seconds later.

    A negative offset means earlier. Time wraps around like the shifted audio.
    """
    seconds = range(scene.seconds)
    return _pixels(scene, [scene.sounding((t + offset_s) % scene.seconds) for t in seconds])


def _pixels(scene: SyntheticClip, numbers: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Return the mask of the objects whose numbers are given for each frame, (T, H, W)."""
    labels = (scene.frame(second)[1] for second in range(scene.seconds))
    return np.stack(
        [np.isin(frame, list(wanted)) for frame, wanted in zip(labels, numbers, strict=True)]
    )
