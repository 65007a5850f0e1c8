"""The audio track is decoded to mono at the requested rate, on the clock of the video."""

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from avseg.errors import CorruptVideoError, NoAudioStreamError
from avseg.media.audio import AudioTrack, split_channels
from avseg.media.container import choose_audio_stream, choose_video_stream, open_media
from tests.media.videos import Picture, Track, level, overwrite, write

RATE = 16000


@contextmanager
def opened(path: Path, sample_rate: int = RATE) -> Iterator[AudioTrack]:
    with open_media(path) as container:
        audio = choose_audio_stream(container, choose_video_stream(container, path.name))
        assert audio is not None
        yield AudioTrack(container, audio, sample_rate, path.name)


def noise(seconds: float, sample_rate: int, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (channels, round(seconds * sample_rate)))
    return samples.astype(np.float32)


def click(at_s: float, seconds: float, sample_rate: int) -> np.ndarray:
    """Return silence with a click of one millisecond."""
    samples = level(0.0, seconds, sample_rate)
    begin = round(at_s * sample_rate)
    samples[0, begin : begin + sample_rate // 1000] = 0.9
    return samples


def test_samples_at_the_stored_rate_are_unchanged(tmp_path: Path) -> None:
    stored = noise(2, RATE)
    with opened(write(tmp_path / "a.mkv", tracks=[Track(stored)])) as audio_track:
        read = audio_track.read(0, 2 * RATE)
        assert audio_track.damage() is None
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, stored[0], atol=1e-4)  # stored in 16 bits


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_mono_is_the_mean_of_all_channels(tmp_path: Path, layout: str) -> None:
    levels = [0.6, -0.3] if layout == "stereo" else [0.6, -0.3, 0.1, 0.4, 0.2, -0.4]
    samples = np.concatenate([level(value, 1) for value in levels])
    with opened(write(tmp_path / "a.mkv", tracks=[Track(samples, layout=layout)])) as audio_track:
        assert audio_track.read(1000, 9000) == pytest.approx(np.mean(levels), abs=1e-3)


@pytest.mark.parametrize(
    ("layout", "levels", "expected"),
    [
        ("stereo", [0.6, -0.3], [0.15, 0.6, -0.3]),
        ("mono", [0.4], [0.4, 0.4, 0.4]),
        ("5.1", [0.6, -0.3, 0.1, 0.4, 0.2, -0.4], [0.1, 0.1, 0.1]),
    ],
)
def test_left_and_right_follow_the_mono_mix(
    tmp_path: Path, layout: str, levels: list[float], expected: list[float]
) -> None:
    samples = np.concatenate([level(value, 1) for value in levels])
    with open_media(write(tmp_path / "a.mkv", tracks=[Track(samples, layout=layout)])) as container:
        audio_track = AudioTrack(container, container.streams.audio[0], RATE, "a.mkv", 2)
        read = audio_track.read_rows(1000, 9000)
    assert read.shape == (3, 8000)
    for row, value in zip(read, expected, strict=True):
        assert row == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    ("layout", "channels", "codec"),
    [
        ("7.1", 8, "flac"),
        ("7.1", 8, "aac"),
        ("7.1", 8, "pcm_f32le"),
        ("7.1.4", 12, "pcm_s16le"),
        ("hexadecagonal", 16, "pcm_s16le"),
        ("37 channels", 37, "pcm_s16le"),
    ],
)
def test_mono_is_the_mean_of_eight_or_more_channels(
    tmp_path: Path, layout: str, channels: int, codec: str
) -> None:
    weights = np.random.default_rng(0).uniform(0.1, 0.5, (channels, 1)).astype(np.float32)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)[None].astype(np.float32)
    track = Track(weights * tone, layout=layout, codec=codec)
    with opened(write(tmp_path / "a.mkv", tracks=[track])) as audio_track:
        read = audio_track.read(1000, 9000)
        assert audio_track.damage() is None
    # AAC is lossy, and keeps little of a tone in the bass channel.
    tolerance = 0.1 if codec == "aac" else 1e-3
    assert read == pytest.approx((weights * tone).mean(axis=0)[1000:9000], abs=tolerance)


def test_the_mono_mix_of_planar_and_packed_stereo_is_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (2, RATE)).astype(np.float32)
    with opened(
        write(tmp_path / "a.mkv", tracks=[Track(samples, layout="stereo", codec="pcm_f32le")])
    ) as audio_track:
        read = audio_track.read(0, RATE)
    np.testing.assert_array_equal(read, samples.mean(axis=0, dtype=np.float32))


def test_channels_of_planar_frames_are_not_read() -> None:
    frame = av.AudioFrame(format="fltp", layout="stereo", samples=16)
    with pytest.raises(ValueError, match="it must be flt"):
        split_channels(frame)


def test_more_channels_than_can_be_resampled_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(65)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(65 * 2 * RATE))
    with open_media(path) as container:
        audio_track = AudioTrack(container, container.streams.audio[0], RATE, path.name)
        assert not audio_track.read(0, RATE).any()
        assert isinstance(audio_track.damage(), CorruptVideoError)


@pytest.mark.parametrize("stored_rate", [8000, 22050, 44100, 48000])
def test_any_rate_is_resampled_without_a_time_shift(tmp_path: Path, stored_rate: int) -> None:
    track = Track(click(1.25, 2, stored_rate), stored_rate)
    with opened(write(tmp_path / "a.mkv", tracks=[track])) as audio_track:
        read = audio_track.read(0, 2 * RATE)
    energy = read.astype(np.float64) ** 2
    centre_s = float((energy * np.arange(len(read))).sum() / energy.sum()) / RATE
    assert centre_s == pytest.approx(1.2505, abs=2e-4)


def test_aac_audio_is_not_shifted(tmp_path: Path) -> None:
    track = Track(click(1.25, 2, 44100), 44100, codec="aac")
    with opened(write(tmp_path / "a.mp4", tracks=[track])) as audio_track:
        assert abs(int(np.abs(audio_track.read(0, 2 * RATE)).argmax()) / RATE - 1.2505) < 2e-3


def test_a_track_that_starts_late_is_silent_before(tmp_path: Path) -> None:
    track = Track(level(0.5, 1), start_s=0.75)
    with opened(write(tmp_path / "a.mkv", tracks=[track])) as audio_track:
        read = audio_track.read(-RATE, 3 * RATE)
    loud = np.flatnonzero(read > 0.25)
    assert (loud[0] - RATE, loud[-1] + 1 - RATE) == (0.75 * RATE, 1.75 * RATE)


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_a_track_may_be_shorter_or_longer_than_the_video(tmp_path: Path, seconds: float) -> None:
    with opened(write(tmp_path / "a.mkv", tracks=[Track(level(0.5, seconds))])) as audio_track:
        read = audio_track.read(0, 2 * RATE)
        assert audio_track.damage() is None
    assert (read > 0.25).sum() == min(seconds, 2) * RATE


def test_a_gap_in_the_track_is_silent(tmp_path: Path) -> None:
    # From sample 16384 on, the first block that begins after 1 s, everything is half a second late.
    track = Track(level(0.5, 2), gap=(1.0, 0.5))
    with opened(write(tmp_path / "a.mkv", tracks=[track])) as audio_track:
        read = audio_track.read(0, 3 * RATE)
    quiet = np.flatnonzero(read[: 2 * RATE] < 0.25)
    assert (quiet[0], quiet[-1] + 1) == (16384, 16384 + RATE // 2)


def test_overlapping_ranges_agree(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", tracks=[Track(noise(2, 44100), 44100)])
    with opened(path) as whole, opened(path) as chunks:
        expected = whole.read(-100, 2 * RATE)
        np.testing.assert_array_equal(chunks.read(-100, 900), expected[:1000])
        np.testing.assert_array_equal(chunks.read(500, 20000), expected[600:20100])
        np.testing.assert_array_equal(chunks.read(25000, 2 * RATE), expected[25100:])


def test_loud_audio_is_clipped_to_the_range(tmp_path: Path) -> None:
    square = np.sign(noise(1, RATE)) * np.float32(1.5)
    with opened(
        write(tmp_path / "a.mkv", tracks=[Track(square, codec="pcm_f32le")])
    ) as audio_track:
        assert np.abs(audio_track.read(0, RATE)).max() == 1.0


def test_nan_samples_are_silent(tmp_path: Path) -> None:
    samples = level(np.nan, 1)
    with opened(
        write(tmp_path / "a.mkv", tracks=[Track(samples, codec="pcm_f32le")])
    ) as audio_track:
        assert not audio_track.read(0, RATE).any()


def test_an_empty_track_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", [Picture()], [Track(level(0.5, 0))])
    with opened(path) as audio_track:
        assert not audio_track.read(0, RATE).any()
        damage = audio_track.damage()
    assert isinstance(damage, NoAudioStreamError)
    assert "audio track is empty; pass silent_ok=True" in str(damage)


def test_a_damaged_track_is_reported(tmp_path: Path) -> None:
    track = Track(noise(4, 44100, 2), 44100, "stereo", codec="aac")
    path = overwrite(write(tmp_path / "a.mp4", tracks=[track]), 0.1, 0.9)
    with opened(path) as audio_track:
        audio_track.read(0, 4 * RATE)
        damage = audio_track.damage()
    assert isinstance(damage, CorruptVideoError)
    assert str(damage).startswith("a.mp4: the audio track is damaged: ")


@pytest.mark.parametrize(
    ("at_s", "start", "stop", "silent"),
    [(5, 0, 20, False), (5, 5, 20, False), (5, 0, 5, True), (5, 6, 20, True), (19, 0, 20, False)],
)
def test_a_range_without_a_sample_above_digital_silence_is_silent(
    tmp_path: Path, at_s: int, start: int, stop: int, silent: bool
) -> None:
    track = Track(click(at_s, 20, RATE))
    with opened(write(tmp_path / "a.mkv", tracks=[track])) as audio_track:
        assert audio_track.is_silent(start * RATE, stop * RATE) == silent
        # Decoding stops at the sample, or at the end of the range, with a second of tolerance.
        decoded = audio_track.range_s()
        assert decoded is not None
        assert decoded[1] <= (stop if silent else at_s) + 2
