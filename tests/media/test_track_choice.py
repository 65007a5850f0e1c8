"""Which audio tracks are used: by number, mixed, or automatically."""

from pathlib import Path

import numpy as np
import pytest

from avseg.errors import NoAudioStreamError, NoVideoStreamError
from avseg.media import choose_audio, probe, read_clip, stream_clips
from avseg.types import AudioSelection, AudioTrackInfo, AudioTrackOption
from tests.media.videos import Picture, Track, level, write

RATE = 44100


def track(value: float, *, default: bool = False, start_s: float = 0.0) -> Track:
    """Return two seconds of a constant value."""
    return Track(level(value, 2, RATE), RATE, codec="aac", default=default, start_s=start_s)


SILENT, QUIET, LOUD = track(0.0, default=True), track(0.2), track(0.5)


def used(path: Path, option: AudioTrackOption = "auto") -> tuple[int, ...]:
    return choose_audio(path, option).used


def with_unknown_codec(path: Path, number: int) -> Path:
    """Write three tracks with sound, one of them of a codec that FFmpeg does not know."""
    write(path, tracks=[track(0.5, default=True), QUIET, LOUD])
    parts = path.read_bytes().split(b"A_AAC")
    names = [b"A_XYZ" if k == number else b"A_AAC" for k in range(1, 4)]
    path.write_bytes(parts[0] + b"".join(map(bytes.__add__, names, parts[1:])))
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_probe_lists_the_audio_tracks(tmp_path: Path, name: str) -> None:
    stereo = level(0.5, 1, 48000).repeat(2, 0)
    tracks = [
        Track(level(0.5, 1), codec="aac", language="deu", title="Desktop"),
        Track(stereo, 48000, "stereo", codec="libmp3lame", default=True),
    ]
    path = write(tmp_path / name, tracks=tracks)
    assert probe(path).audio_tracks == (
        AudioTrackInfo(1, "aac", 16000, 1, "mono", "deu", "Desktop", default=False),
        AudioTrackInfo(2, "mp3float", 48000, 2, "stereo", None, None, default=True),
    )
    assert probe(path).audio_codec == "mp3float"


def test_a_video_without_audio_has_no_tracks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv")
    assert probe(path).audio_tracks == ()
    options: list[AudioTrackOption] = [1, "mix", "auto"]
    for option in options:
        selection = choose_audio(path, option)
        assert selection == AudioSelection(option, (), "the file has no audio track")


def test_a_number_chooses_a_track_counted_from_1(tmp_path: Path) -> None:
    tracks = [track(0.05 * number) for number in range(1, 13)]
    path = write(tmp_path / "twelve.mkv", tracks=tracks)
    for number in (1, 7, 12):
        clip = read_clip(path, audio_track=number)
        assert np.median(clip.audio_windows(0.5)) == pytest.approx(0.05 * number, abs=0.01)


def test_mix_takes_all_tracks(tmp_path: Path) -> None:
    assert used(write(tmp_path / "a.mkv", tracks=[SILENT, QUIET, LOUD]), "mix") == (1, 2, 3)


@pytest.mark.parametrize("default", [1, 2, 3])
def test_auto_takes_the_default_track(tmp_path: Path, default: int) -> None:
    tracks = [track(0.5, default=number == default) for number in (1, 2, 3)]
    selection = choose_audio(write(tmp_path / "a.mkv", tracks=tracks))
    assert selection == AudioSelection("auto", (default,), "the default track")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_auto_takes_another_track_if_the_default_one_is_digitally_silent(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, tracks=[SILENT, track(0.0), LOUD, QUIET])
    selection = choose_audio(path)
    assert selection.used == (3,)
    assert selection.because == "the default track, 1, is digitally silent"
    (warning,) = selection.warnings
    assert warning.startswith("audio track 3 is used: the default track, 1, is digitally silent.")


def test_the_choice_is_made_and_reported_before_the_first_clip(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = write(tmp_path / "a.mkv", tracks=[SILENT, LOUD])
    clips = stream_clips(path, None, frames_per_chunk=1, on_warning=warnings.append)
    audio = next(clips).audio
    # Not the highest value: AAC overshoots at the end of the track.
    assert np.median(audio[audio > 0.1]) == pytest.approx(0.5, abs=0.1)
    assert len(warnings) == 1
    list(clips)
    assert len(warnings) == 1


def test_auto_keeps_the_default_track_if_no_track_sounds(tmp_path: Path) -> None:
    selection = choose_audio(write(tmp_path / "a.mkv", tracks=[SILENT, track(0.0)]))
    assert selection.used == (1,)
    assert selection.because.endswith("it is digitally silent, and no other track sounds")
    assert not selection.warnings


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "libopus", "ac3", "eac3", "flac"])
def test_zeros_are_digital_silence_in_every_codec(tmp_path: Path, codec: str) -> None:
    """AC-3 decodes zeros to a quarter of a step of 16 bits."""
    silent = Track(level(0.0, 2, 48000), 48000, codec=codec, default=True)
    assert used(write(tmp_path / "a.mkv", tracks=[silent, LOUD])) == (2,)


@pytest.mark.parametrize(("steps", "number"), [(1, 2), (3, 1)])
def test_digital_silence_is_one_step_of_16_bits_at_most(
    tmp_path: Path, steps: int, number: int
) -> None:
    dither = Track(level(steps / 2**15, 2), default=True)
    assert used(write(tmp_path / "a.mkv", tracks=[dither, LOUD])) == (number,)


def test_a_default_track_that_sounds_late_is_not_silent(tmp_path: Path) -> None:
    samples = level(0.0, 3, RATE)
    samples[:, -RATE // 10 :] = 0.5
    late = Track(samples, RATE, codec="aac", default=True)
    picture = Picture(times_ms=range(0, 3000, 100))
    assert used(write(tmp_path / "a.mkv", [picture], [late, LOUD])) == (1,)


def test_sound_after_the_end_of_the_picture_does_not_count(tmp_path: Path) -> None:
    samples = level(0.0, 4, RATE)
    samples[:, 3 * RATE :] = 0.5
    late = Track(samples, RATE, codec="aac", default=True)
    assert used(write(tmp_path / "a.mp4", tracks=[late, LOUD])) == (2,)


@pytest.mark.parametrize("start_s", [43_200.0, 10.0])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_auto_does_not_take_a_track_beside_the_picture(
    tmp_path: Path, name: str, start_s: float
) -> None:
    beside = track(0.5, default=True, start_s=start_s)
    path = write(tmp_path / name, tracks=[beside, LOUD])
    selection = choose_audio(path)
    assert selection.used == (2,)
    assert selection.because == "the default track, 1, does not overlap the picture"
    assert used(write(tmp_path / f"alone_{name}", tracks=[beside])) == (1,)
    assert np.median(read_clip(path).audio_windows(0.5)) == pytest.approx(0.5, abs=0.02)


def test_a_track_without_a_decoder_is_left_out(tmp_path: Path) -> None:
    path = with_unknown_codec(tmp_path / "a.mkv", 1)
    assert probe(path).audio_tracks[0] == AudioTrackInfo(
        1, None, None, None, None, None, None, default=True
    )
    expected: dict[AudioTrackOption, tuple[int, ...]] = {"auto": (2,), "mix": (2, 3)}
    for option, numbers in expected.items():
        selection = choose_audio(path, option)
        assert selection.used == numbers
        (warning,) = selection.warnings
        assert "no decoder" in warning
    # Nothing is lost if the track would not be used.
    assert not choose_audio(with_unknown_codec(tmp_path / "b.mkv", 3)).warnings


def test_a_default_track_that_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    """AAC that the file calls AC-3: there is a decoder, which refuses every packet."""
    path = write(tmp_path / "a.mkv", tracks=[track(0.5, default=True), LOUD])
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_AC3", 1))
    selection = choose_audio(path)
    assert selection.used == (2,)
    assert "track, 1, has no samples that can be decoded" in selection.because


def test_no_track_with_a_decoder_is_as_no_track(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", tracks=[LOUD])
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    options: list[AudioTrackOption] = ["auto", "mix"]
    for option in options:
        selection = choose_audio(path, option)
        assert (selection.used, selection.because) == ((), "no audio track can be decoded")
    with pytest.raises(NoAudioStreamError, match="silent_ok=True"):
        read_clip(path)
    assert not read_clip(path, silent_ok=True).audio.any()


def test_cover_art_is_no_track(tmp_path: Path) -> None:
    cover = Picture(times_ms=[0], codec="mjpeg", pixel_format="yuvj420p", options={}, cover=True)
    path = write(tmp_path / "a.mp4", [Picture(), cover], [SILENT, LOUD])
    assert used(path) == (2,)
    assert used(path, 2) == (2,)


@pytest.mark.parametrize("silent_ok", [False, True])
def test_a_number_that_does_not_exist_is_an_error_with_the_tracks(
    tmp_path: Path, silent_ok: bool
) -> None:
    path = write(tmp_path / "a.mkv", tracks=[SILENT, LOUD])
    message = r"a.mkv: has no audio track 7; choose one of its 2, counted from 1: 1 \(aac, mono"
    with pytest.raises(NoAudioStreamError, match=message):
        read_clip(path, silent_ok=silent_ok, audio_track=7)


def test_the_number_of_a_track_without_a_decoder_is_an_error(tmp_path: Path) -> None:
    path = with_unknown_codec(tmp_path / "a.mkv", 2)
    with pytest.raises(NoAudioStreamError, match=r"no decoder for audio track 2; .*3 \(aac, mono"):
        read_clip(path, silent_ok=True, audio_track=2)


@pytest.mark.parametrize("option", [0, -1, True, 1.5, "foo", "2", None])
def test_another_value_of_the_option_is_an_error(option: AudioTrackOption) -> None:
    for read in (choose_audio, read_clip, stream_clips):
        with pytest.raises(ValueError, match="the number of an audio track, counted from 1"):
            read("street.mp4", audio_track=option)


def test_a_file_without_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoVideoStreamError):
        choose_audio(write(tmp_path / "sound.m4a", [], [LOUD]))
