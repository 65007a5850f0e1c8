"""Audio segments with their channels end to end."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avseg.errors import CorruptVideoError, NoAudioStreamError, NotAVideoError
from avseg.models.av2t_sam.audio_segments import cut_segments, read_seconds, read_segments, resample
from tests.media.videos import Track, level, overwrite, write


def sine(hertz: float, sample_rate: int, seconds: float = 1.0) -> npt.NDArray[np.float32]:
    """One channel, (1, S)."""
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    wave: npt.NDArray[np.float32] = np.sin(2 * np.pi * hertz * times)[None].astype(np.float32)
    return wave


def test_the_channels_of_each_second_are_concatenated(tmp_path: Path) -> None:
    left = np.concatenate([level(0.1 * second, 1, 8000) for second in range(6)], axis=1)
    track = Track(np.concatenate([left, -left]), 8000, "stereo")
    segments = read_segments(write(tmp_path / "stereo.mkv", tracks=[track]), 8000)
    assert segments.shape == (5, 16000)
    assert segments.dtype == np.float32
    expected = 0.1 * np.arange(5)[:, None] * np.ones(8000)
    np.testing.assert_allclose(segments[:, :8000], expected, atol=1e-4)
    np.testing.assert_allclose(segments[:, 8000:], -expected, atol=1e-4)


def test_read_seconds_returns_the_channels_before_concatenation(tmp_path: Path) -> None:
    left = np.concatenate([level(0.1 * second, 1, 8000) for second in range(6)], axis=1)
    path = write(
        tmp_path / "stereo.mkv", tracks=[Track(np.concatenate([left, -left]), 8000, "stereo")]
    )
    channels = read_seconds(path, 8000, 3)
    assert channels.shape == (2, 24000)
    np.testing.assert_array_equal(cut_segments(channels, 8000), read_segments(path, 8000, 3))


@pytest.mark.parametrize("channels", [8, 12])
def test_eight_or_more_channels_are_read(tmp_path: Path, channels: int) -> None:
    samples = np.concatenate([level(0.01 * (k + 1), 1, 8000) for k in range(channels)])
    layout = {8: "7.1", 12: "7.1.4"}[channels]
    path = write(tmp_path / "many.mkv", tracks=[Track(samples, 8000, layout)])
    np.testing.assert_allclose(read_seconds(path, 8000, 1), samples, atol=1e-4)


def test_a_short_track_is_padded_with_zeros(tmp_path: Path) -> None:
    path = write(tmp_path / "short.wav", (), [Track(level(0.5, 2.5, 8000), 8000)])
    segments = read_segments(path, 8000)
    assert (np.abs(segments) > 0.4).mean(axis=1).tolist() == [1, 1, 0.5, 0, 0]


def test_a_long_track_is_cut(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 40000)).astype(np.float32)
    long = write(tmp_path / "long.wav", (), [Track(noise, 8000)])
    short = write(tmp_path / "short.wav", (), [Track(noise[:, :16000], 8000)])
    np.testing.assert_array_equal(read_segments(long, 8000, 2), read_segments(short, 8000, 2))


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    path = write(tmp_path / "sine.wav", (), [Track(0.5 * sine(440, 48000, 5), 48000)])
    segments = read_segments(path, 44100)
    expected = 0.5 * sine(440, 44100, 5).reshape(5, 44100)
    np.testing.assert_allclose(segments[1:4], expected[1:4], atol=1e-3)


@pytest.mark.parametrize(("old", "new"), [(48000, 44100), (22050, 44100), (16000, 44100)])
def test_resampling_keeps_a_sine_and_its_length(old: int, new: int) -> None:
    resampled = resample(sine(1000, old), old, new)
    assert resampled.shape == (1, new)
    middle = slice(new // 4, 3 * new // 4)
    np.testing.assert_allclose(resampled[0, middle], sine(1000, new)[0, middle], atol=2e-3)


def test_resampling_removes_frequencies_above_the_new_nyquist_frequency() -> None:
    aliased = resample(sine(15000, 44100), 44100, 16000)
    assert np.abs(aliased[0, 4000:12000]).max() < 0.02


def test_resampling_is_the_published_filter() -> None:
    """Sinc with 6 zero crossings and a rolloff of 0.99: its values at some samples."""
    impulse = np.zeros((1, 64), np.float32)
    impulse[0, 32] = 1
    response = resample(impulse, 2, 1)[0]
    taps = 0.99 * np.arange(-2, 3)
    expected = 0.495 * np.sinc(taps) * np.cos(np.pi * taps / 12) ** 2
    np.testing.assert_allclose(response[14:19], expected, atol=1e-6)


def test_a_file_without_audio_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoAudioStreamError, match="has no audio track that can be decoded"):
        read_segments(write(tmp_path / "silent.mp4"))


def test_a_missing_file_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotAVideoError, match="there is no such file"):
        read_segments(tmp_path / "missing.wav")


def test_damaged_audio_raises_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 88200)).astype(np.float32)
    path = write(tmp_path / "damaged.flac", (), [Track(noise, 44100, codec="flac")])
    with pytest.raises(CorruptVideoError, match=r"the audio cannot be decoded after \d\.\d\d s"):
        read_segments(overwrite(path, 0.4, 0.9))
