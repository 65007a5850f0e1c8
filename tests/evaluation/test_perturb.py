"""Other sounds for the same frames, and what is then true."""

from dataclasses import replace

import numpy as np
import pytest

from avseg.datasets import AnnotatedClip
from avseg.evaluation.perturb import NOISE_LEVEL, drown_in_noise, dub, mute
from avseg.types import Clip


def make_clip(seconds: int, level: float, sample_rate: int = 1000) -> AnnotatedClip:
    """A clip of bright frames that sound at one level, all of them marked."""
    times = np.arange(seconds, dtype=np.float64)
    clip = Clip(
        source="clip",
        frames=np.full((seconds, 4, 4, 3), 200, np.uint8),
        frame_times=times,
        sound_times=times + 0.5,
        audio=np.full(seconds * sample_rate, level, np.float32),
        audio_start_s=0.0,
        sample_rate=sample_rate,
    )
    marked = np.ones((seconds, 4, 4), bool)
    known = np.arange(seconds) < 1
    return AnnotatedClip("clip", "dog", clip, marked, known, marked.astype(np.uint8))


def perturbed_clips() -> list[AnnotatedClip]:
    clip = make_clip(3, 0.5)
    noisy = drown_in_noise(clip, np.random.default_rng(0))
    return [mute(clip), noisy, dub(clip, make_clip(3, 0.25))]


@pytest.mark.parametrize("clip", perturbed_clips(), ids=["mute", "noise", "dub"])
def test_frames_stay_and_nothing_of_them_sounds(clip: AnnotatedClip) -> None:
    original = make_clip(3, 0.5)
    np.testing.assert_array_equal(clip.clip.frames, original.clip.frames)
    np.testing.assert_array_equal(clip.annotated, original.annotated)
    assert not clip.masks.any()
    assert clip.labels is None
    assert clip.clip.audio.shape == original.clip.audio.shape


def test_a_muted_clip_is_digital_silence() -> None:
    assert not mute(make_clip(2, 0.5)).clip.audio.any()


def test_noise_is_white_and_as_loud_as_a_source() -> None:
    audio = drown_in_noise(make_clip(20, 0.5), np.random.default_rng(0)).clip.audio
    assert float(audio.std()) == pytest.approx(NOISE_LEVEL, rel=0.05)
    assert abs(float(np.corrcoef(audio[1:], audio[:-1])[0, 1])) < 0.05


def test_noise_is_the_same_for_the_same_chance() -> None:
    one, other = (
        drown_in_noise(make_clip(2, 0.5), np.random.default_rng(7)).clip.audio for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("seconds", "last"), [(5, 0.25), (2, 0.0)])
def test_another_clips_sound_is_cut_or_followed_by_silence(seconds: int, last: float) -> None:
    audio = dub(make_clip(3, 0.5), make_clip(seconds, 0.25)).clip.audio
    assert (audio[0], audio[-1]) == (0.25, last)


def test_sound_at_another_rate_is_refused() -> None:
    clip = make_clip(2, 0.5)
    other = replace(make_clip(2, 0.5, sample_rate=500), clip_id="other")
    with pytest.raises(ValueError, match="other has sound at 500 Hz, clip at 1000 Hz"):
        dub(clip, other)
