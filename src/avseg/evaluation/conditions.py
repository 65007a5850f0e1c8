"""Sounds that a clip is shown with in the place of its own, and what is then true.

Three leave nothing to mark, as in AVSBench-Robust (arXiv:2502.00358): silence, noise, and the sound
of something that is not in the picture. Three more tell what follows the sound from what does not:
the clip's own sound shifted in time, the sound of something silent in the picture, and one of
several sources gone; for the last two, and for the truth of the first, the clip has to be one that
SynthAVS draws anew.

T frames of H x W pixels, C channels and S samples of sound.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

from avseg.evaluation.following import sound_of
from avseg.evaluation.prediction import Waveform
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.contents import ClipContents, SynthavsSplit, find_off_screen_audio
from avseg.synthavs.sounds import SAMPLE_RATE

#: Root mean square of the noise, relative to full scale: about that of a source in SynthAVS.
NOISE_LEVEL = 0.1

#: How far a sound is shifted, in seconds.
SHIFT_S = 2


def mute(audio: Waveform) -> Waveform:
    """Replace a sound by digital silence.

    Args:
        audio: The sound, (C, S).

    Returns:
        Zeros, (C, S).
    """
    return np.zeros_like(audio)


def drown_in_noise(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Replace a sound by white noise, which no object makes.

    Args:
        audio: The sound, (C, S).
        rng: Source of chance.

    Returns:
        The same noise in all channels, (C, S).
    """
    noise = NOISE_LEVEL * rng.standard_normal(audio.shape[1], np.float32)
    return np.tile(np.clip(noise, -1, 1), (len(audio), 1))


def shift(audio: Waveform, sample_rate: int) -> Waveform:
    """Let a sound come later; what is pushed out at the end begins it.

    Args:
        audio: The sound, (C, S).
        sample_rate: In Hz.

    Returns:
        The sound, `SHIFT_S` seconds later, (C, S).
    """
    return np.roll(audio, SHIFT_S * sample_rate, axis=1)


def fit(audio: Waveform, samples: int) -> Waveform:
    """Cut a sound to a length, or let silence follow it.

    Args:
        audio: The sound, (C, S).
        samples: The length.

    Returns:
        The sound, (C, samples).
    """
    return np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))


#: What each sound is, by its name; with the first three nothing in the picture sounds.
DESCRIPTIONS: dict[str, str] = {
    "muted": "digital silence",
    "noise": "white noise",
    "off-screen": "the sound of another clip, of nothing that is in the picture",
    "shifted": f"the clip's own sound, {SHIFT_S} s later, its end at the beginning",
    "silent object": "the sound of something in the picture that is silent",
    "one removed": "the clip's own sound without one of its sources",
}

#: Sounds with which nothing in the picture sounds.
NEGATIVES = ("muted", "noise", "off-screen")


@dataclass(frozen=True, eq=False)
class Condition:
    """A clip under a sound that is not its own.

    Attributes:
        name: Key of `DESCRIPTIONS`.
        audio: The sound, (C, S) at the rate of the clip's own.
        truth: Pixels of what then sounds, (T, H, W) bool; None if nobody knows.
    """

    name: str
    audio: Waveform
    truth: NDArray[np.bool_] | None


@dataclass(frozen=True)
class OtherSounds:
    """Makes the conditions of each clip of a split.

    Attributes:
        sample_rate: Of all sounds, in Hz.
        waveform: Reads the own sound of the clip of a number, (C, S).
        contents: What each clip shows and sounds of; None if the data set does not tell.
        generated: What draws the clips anew; None if nothing does.
    """

    sample_rate: int
    waveform: Callable[[int], Waveform]
    contents: Sequence[ClipContents] | None
    generated: SynthavsSplit | None

    def of(self, index: int, masks: NDArray[np.bool_]) -> Iterator[Condition]:
        """Make the conditions of a clip; which ones there are depends on what is known of it.

        Args:
            index: Number of the clip in its split; also the seed of all chance.
            masks: Pixels of what sounds in its own sound, (T, H, W).

        Yields:
            The conditions, in the order of `DESCRIPTIONS`.
        """
        rng = np.random.default_rng(index)
        audio = self.waveform(index)
        nothing = np.zeros_like(masks)
        yield Condition("muted", mute(audio), nothing)
        yield Condition("noise", drown_in_noise(audio, rng), nothing)
        lender = None if self.contents is None else find_off_screen_audio(self.contents, index)
        if lender is not None:
            foreign = fit(self.waveform(lender), audio.shape[1])
            yield Condition("off-screen", foreign, nothing)
        shifted = shift(audio, self.sample_rate)
        if self.generated is None:
            yield Condition("shifted", shifted, None)
            return
        scene = self.generated.draw(index)
        yield Condition("shifted", shifted, _sounding_pixels(scene, -SHIFT_S))
        yield from self._with_silent_object(scene, self.generated, rng)
        yield from self._with_one_removed(scene, rng)

    def _with_silent_object(
        self, scene: SyntheticClip, generated: SynthavsSplit, rng: np.random.Generator
    ) -> Iterator[Condition]:
        shown = {thing.category for thing in scene.scene.objects}
        silent = sorted(shown - {source.category for source in scene.sound_events})
        if silent:
            category = str(rng.choice(silent))
            audio = sound_of(scene, category, generated.parameter_split, rng)
            numbers = [
                number
                for number, thing in enumerate(scene.scene.objects, start=1)
                if thing.category == category
            ]
            truth = _pixels(scene, [numbers] * scene.seconds)
            yield Condition("silent object", self._bring_to_rate(audio), truth)

    def _with_one_removed(
        self, scene: SyntheticClip, rng: np.random.Generator
    ) -> Iterator[Condition]:
        seen = sorted({source.category for source in scene.sound_events if source.object_number})
        if len(seen) > 1:
            rest = scene.without(str(rng.choice(seen)))
            audio = self._bring_to_rate(rest.audio)
            yield Condition("one removed", audio, _sounding_pixels(rest))

    def _bring_to_rate(self, audio: NDArray[np.float32]) -> Waveform:
        if self.sample_rate != SAMPLE_RATE:
            audio = scipy.signal.resample_poly(audio, self.sample_rate, SAMPLE_RATE)
        return np.clip(audio, -1, 1).astype(np.float32)[None]


def _sounding_pixels(scene: SyntheticClip, later_s: int = 0) -> NDArray[np.bool_]:
    """Mark in each frame what sounds so many seconds later (earlier if below 0), around the end."""
    seconds = range(scene.seconds)
    return _pixels(scene, [scene.sounding((t + later_s) % scene.seconds) for t in seconds])


def _pixels(scene: SyntheticClip, numbers: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Mark the objects of some numbers, those that are given for each frame."""
    painted = (scene.frame(second)[1] for second in range(scene.seconds))
    return np.stack(
        [np.isin(frame, list(wanted)) for frame, wanted in zip(painted, numbers, strict=True)]
    )
