"""The mix of several audio tracks, and what is reported about them."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from avseg.errors import CorruptVideoError, NoAudioStreamError
from avseg.media import read_clip, stream_clips
from tests.media.videos import Picture, Track, level, write

RATE = 16000


def mixed(path: Path, *, silent_ok: bool = False) -> npt.NDArray[np.float32]:
    """Return the mix from time 0 on."""
    clip = read_clip(path, None, RATE, silent_ok, "mix")
    return clip.audio[-round(clip.audio_start_s * RATE) :]


def warnings_of(path: Path, *, silent_ok: bool = False) -> list[str]:
    found: list[str] = []
    list(stream_clips(path, None, silent_ok=silent_ok, on_warning=found.append, audio_track="mix"))
    return found


def test_tracks_are_added(tmp_path: Path) -> None:
    tracks = [Track(level(value, 2)) for value in (0.5, -0.2, 0.1)]
    assert mixed(write(tmp_path / "a.mkv", tracks=tracks))[: 2 * RATE] == pytest.approx(
        0.4, abs=1e-3
    )


def test_a_track_that_sounds_alone_keeps_its_level(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 2 * RATE)).astype(np.float32)
    tracks = [Track(level(0, 2)), Track(stored), Track(level(0, 2))]
    found = mixed(write(tmp_path / "a.mkv", tracks=tracks))[: 2 * RATE]
    np.testing.assert_allclose(found, stored[0], atol=1e-4)


def test_tracks_are_aligned_by_their_timestamps(tmp_path: Path) -> None:
    tracks = [Track(level(0.2, 2)), Track(level(0.3, 1), start_s=0.5)]
    found = mixed(write(tmp_path / "a.mkv", tracks=tracks))
    for at_s, value in ((0.25, 0.2), (0.75, 0.5), (1.25, 0.5), (1.75, 0.2)):
        assert found[round(at_s * RATE)] == pytest.approx(value, abs=1e-3)


def test_tracks_may_have_other_rates_layouts_and_codecs(tmp_path: Path) -> None:
    tracks = [
        Track(level(0.2, 2)),
        Track(level(0.3, 2, 48000).repeat(2, 0), 48000, "stereo", codec="flac"),
        Track(level(0.1, 2, 44100).repeat(6, 0), 44100, "5.1", codec="aac"),
    ]
    found = mixed(write(tmp_path / "a.mkv", tracks=tracks))
    assert np.median(found[RATE // 2 : RATE]) == pytest.approx(0.6, abs=0.02)


def test_a_sum_above_full_scale_is_turned_down_and_not_clipped(tmp_path: Path) -> None:
    phase = np.arange(8 * RATE)[None] * 2 * np.pi * 100 / RATE
    wave = (0.9 * np.sin(phase)).astype(np.float32)
    loud = np.zeros_like(wave)
    loud[:, 4 * RATE : 5 * RATE] = wave[:, 4 * RATE : 5 * RATE]
    picture = Picture(times_ms=range(0, 8000, 200))
    found = mixed(write(tmp_path / "a.mkv", [picture], [Track(wave), Track(loud)]))
    assert np.abs(found).max() <= 1
    peaks = [np.abs(found[k * RATE : (k + 1) * RATE]).max() for k in range(8)]
    # Full gain up to a second before the loud one, and from a second after it on.
    assert peaks[:3] == pytest.approx([0.9] * 3, abs=1e-3)
    assert peaks[6:] == pytest.approx([0.9] * 2, abs=1e-3)
    # The loud second keeps its shape: a clipped sine would have a larger RMS.
    second = found[4 * RATE : 5 * RATE]
    assert np.abs(second).max() == pytest.approx(1, abs=1e-3)
    assert np.sqrt(np.square(second).mean()) == pytest.approx(np.sqrt(0.5), abs=1e-3)


@pytest.mark.parametrize("frames", [1, 7])
def test_the_mix_of_chunks_is_that_of_the_whole_video(tmp_path: Path, frames: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (3, 6 * RATE)).astype(np.float32)
    picture = Picture(times_ms=range(0, 6000, 300))
    path = write(tmp_path / "a.mkv", [picture], [Track(channel[None]) for channel in noise])
    whole = read_clip(path, 2, audio_track="mix")
    parts = list(stream_clips(path, 2, frames_per_chunk=frames, audio_track="mix"))
    windows = np.concatenate([part.audio_windows() for part in parts])
    np.testing.assert_array_equal(windows, whole.audio_windows())


def test_left_and_right_of_the_tracks_are_added(tmp_path: Path) -> None:
    pair = np.concatenate([level(0.3, 2), level(-0.1, 2)])
    tracks = [Track(pair, layout="stereo"), Track(level(0.2, 2))]
    clip = read_clip(write(tmp_path / "a.mkv", tracks=tracks), None, RATE, False, "mix", 2)
    assert clip.channels is not None
    middle = slice(round((0.5 - clip.audio_start_s) * RATE), round((1 - clip.audio_start_s) * RATE))
    assert clip.channels[0, middle] == pytest.approx(0.5, abs=1e-3)
    assert clip.channels[1, middle] == pytest.approx(0.1, abs=1e-3)
    assert clip.audio[middle] == pytest.approx(0.3, abs=1e-3)


def test_left_and_right_of_tracks_that_cancel_each_other_are_the_mono_mix(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * RATE)).astype(np.float32)
    path = write(tmp_path / "a.mkv", tracks=[Track(noise), Track(-noise)])
    clip = read_clip(path, None, RATE, False, "mix", 2)
    assert clip.channels is not None
    np.testing.assert_array_equal(clip.channels, np.stack([clip.audio, clip.audio]))


def test_tracks_that_cancel_each_other_do_not_give_silence(tmp_path: Path) -> None:
    """Left and inverted right channel, stored as two tracks."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * RATE)).astype(np.float32)
    path = write(tmp_path / "a.mkv", tracks=[Track(noise), Track(-noise)])
    np.testing.assert_allclose(np.abs(mixed(path)[: 2 * RATE]), np.abs(noise[0]), atol=1e-4)
    (warning,) = warnings_of(path)
    assert "the audio tracks cancel each other in the mix" in warning


def refused(path: Path, *numbers: int) -> Path:
    """Write two tracks, and give some of them a codec that refuses their packets."""
    track = Track(level(0.5, 2, 44100), 44100, codec="aac")
    write(path, tracks=[track, track])
    first, second, third = path.read_bytes().split(b"A_AAC")
    names = [b"A_AC3" if number in numbers else b"A_AAC" for number in (1, 2)]
    path.write_bytes(first + names[0] + second + names[1] + third)
    return path


@pytest.mark.parametrize("silent_ok", [False, True])
def test_a_track_of_several_without_samples_is_a_warning(tmp_path: Path, silent_ok: bool) -> None:
    path = refused(tmp_path / "a.mkv", 1)
    assert np.median(mixed(path)[RATE // 2 : RATE]) == pytest.approx(0.5, abs=0.02)
    (warning,) = warnings_of(path, silent_ok=silent_ok)
    assert warning == "audio track 1: the track has no samples that can be decoded."


def test_tracks_without_samples_are_an_error(tmp_path: Path) -> None:
    path = refused(tmp_path / "a.mkv", 1, 2)
    with pytest.raises(NoAudioStreamError):
        mixed(path)
    assert not mixed(path, silent_ok=True).any()
    (warning,) = warnings_of(path, silent_ok=True)
    assert warning.endswith("no samples that can be decoded. The video is read as silent.")


def test_a_damaged_track_of_several_is_a_warning(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * 44100)).astype(np.float32)
    tracks = [Track(noise, 44100, codec="aac"), Track(level(0.3, 2))]
    path = write(tmp_path / "a.mkv", tracks=tracks)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0)]
    data = path.read_bytes()
    for packet in packets[20:40]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    with pytest.raises(CorruptVideoError, match="the audio track is damaged"):
        read_clip(path, audio_track=1)
    (warning,) = warnings_of(path)
    assert warning.startswith("audio track 1: the audio track is damaged")


def test_a_track_beside_the_picture_is_a_warning_in_a_mix(tmp_path: Path) -> None:
    tracks = [Track(level(0.2, 2)), Track(level(0.3, 2), start_s=43_200.0)]
    path = write(tmp_path / "a.mkv", tracks=tracks)
    assert mixed(path)[RATE] == pytest.approx(0.2, abs=1e-3)
    (warning,) = warnings_of(path)
    assert warning.startswith("audio track 2: the audio starts at 43200.00 s and does not overlap")


def test_tracks_that_are_all_beside_the_picture_are_an_error(tmp_path: Path) -> None:
    tracks = [Track(level(0.2, 2), start_s=start_s) for start_s in (20.0, 30.0)]
    path = write(tmp_path / "a.mkv", tracks=tracks)
    with pytest.raises(CorruptVideoError, match=r"starts at 20\.00 s and does not overlap"):
        mixed(path)
    assert not mixed(path, silent_ok=True).any()
    (warning,) = warnings_of(path, silent_ok=True)
    assert warning.endswith("The video is read as silent.")


def test_a_track_that_ends_before_the_others_is_no_warning(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(0, 4000, 100))
    tracks = [Track(level(0.2, 1)), Track(level(0.3, 4))]
    path = write(tmp_path / "a.mkv", [picture], tracks)
    assert not warnings_of(path)
    assert mixed(path)[RATE * 2] == pytest.approx(0.3, abs=1e-3)
    (warning,) = warnings_of(write(tmp_path / "b.mkv", [picture], [tracks[0]] * 2))
    assert "the audio ends at 1.0" in warning
