"""Channels are averaged, except where they cancel each other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avseg.media import stream_clips
from avseg.media.mono import MonoMixer
from tests.media.videos import Track, write

RATE = 16000


def noise(seed: int = 0, scale: float = 0.5) -> npt.NDArray[np.float32]:
    """Return one second of one channel, (S,)."""
    values = np.random.default_rng(seed).uniform(-scale, scale, RATE)
    return values.astype(np.float32)


@pytest.mark.parametrize(
    "weights",
    [
        (1, -1),
        (1, -0.9),
        (-0.5, 0.5),
        (1, -1, 0, 0, 0.5, -0.5),
        (0, 0, 1, -1, 0, 0, 0, 0),
        (1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1),
    ],
)
def test_channels_that_cancel_each_other_give_the_loudest(weights: tuple[float, ...]) -> None:
    channels = np.array(weights, np.float32)[:, None] * noise()
    mixer = MonoMixer()
    mono = mixer.mix(channels)
    np.testing.assert_array_equal(mono, channels[np.abs(weights).argmax()])
    assert mixer.cancelled_samples == RATE


@pytest.mark.parametrize(
    "weights", [(1, 1), (1, 0), (1, -0.5), (1, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0, 0)]
)
def test_other_channels_give_their_mean(weights: tuple[float, ...]) -> None:
    channels = np.array(weights, np.float32)[:, None] * noise()
    mixer = MonoMixer()
    np.testing.assert_array_equal(mixer.mix(channels), channels.mean(axis=0, dtype=np.float32))
    assert mixer.cancelled_samples == 0


def test_unrelated_channels_give_their_mean() -> None:
    channels = np.stack([noise(seed) for seed in range(16)])
    mixer = MonoMixer()
    np.testing.assert_array_equal(mixer.mix(channels), channels.mean(axis=0, dtype=np.float32))


def test_faint_noise_is_not_judged() -> None:
    mixer = MonoMixer()
    assert not mixer.mix(np.outer([1, -1], noise(scale=1e-5)).astype(np.float32)).any()
    assert mixer.cancelled_samples == 0


def test_the_chosen_channel_stays_while_it_is_about_as_loud() -> None:
    mixer = MonoMixer()
    for left, right in ((1.0, -0.95), (0.95, -1.0)):
        channels = np.outer([left, right], noise()).astype(np.float32)
        np.testing.assert_array_equal(mixer.mix(channels), channels[0])


def test_a_channel_of_nan_is_silent() -> None:
    channels = np.stack([noise(), np.full(RATE, np.nan, np.float32)])
    assert np.isfinite(MonoMixer().mix(channels)).all()


@pytest.mark.parametrize("codec", ["flac", "aac"])
def test_a_stereo_track_in_opposite_phases_is_audible_with_a_warning(
    tmp_path: Path, codec: str
) -> None:
    left = np.tile(noise(), 2)
    track = Track(np.stack([left, -left]), layout="stereo", codec=codec)
    path = write(tmp_path / "a.mkv", tracks=[track])
    warnings: list[str] = []
    windows = [clip.audio_windows() for clip in stream_clips(path, on_warning=warnings.append)]
    assert np.concatenate(windows).std() > 0.1
    (warning,) = warnings
    assert "cancel each other in the mono mix (opposite phases) for 2." in warning


def test_an_ordinary_track_gives_no_warning(tmp_path: Path) -> None:
    track = Track(np.stack([noise(0), noise(1)]), layout="stereo")
    warnings: list[str] = []
    list(stream_clips(write(tmp_path / "a.mkv", tracks=[track]), on_warning=warnings.append))
    assert not warnings
