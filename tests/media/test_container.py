"""Opening of files: errors, chosen streams, and announced lengths."""

from pathlib import Path

import pytest

from avseg.errors import EmptyVideoError, NotAVideoError, NoVideoStreamError, TruncatedVideoError
from avseg.media.container import (
    announced_end_s,
    announced_file_end_s,
    announced_frames,
    choose_audio_stream,
    choose_video_stream,
    open_media,
    packet_end_s,
    packets_of,
    tolerance_frames,
)
from tests.media.videos import Picture, Track, cut, level, write


def refuse(path: Path, error: type[Exception], message: str) -> None:
    """Assert that opening a file raises an error."""
    with pytest.raises(error, match=message), open_media(path):
        pass


def test_a_missing_file_is_not_a_video(tmp_path: Path) -> None:
    refuse(tmp_path / "gone.mp4", NotAVideoError, r"gone.mp4: there is no such file")


def test_a_folder_is_not_a_video(tmp_path: Path) -> None:
    refuse(tmp_path, NotAVideoError, "is a folder")


def test_a_url_is_not_opened_and_shown_as_it_was_typed() -> None:
    url = "http://localhost/street.mp4"
    refuse(Path(url), NotAVideoError, f"{url}: is a URL; download it first")


def test_a_file_whose_path_looks_like_a_url_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "take:" / "a.mp4"
    file.parent.mkdir()
    file.write_bytes(b"no video")
    refuse(file, NotAVideoError, "cannot be opened as a media file")


@pytest.mark.parametrize("path", ["-", "/dev/null"])
def test_standard_input_and_devices_are_not_read(path: str) -> None:
    refuse(Path(path), NotAVideoError, "save it to a file first")


def test_a_file_without_bytes_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    refuse(tmp_path / "empty.mp4", EmptyVideoError, "no bytes")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.bin"])
def test_text_is_not_a_video_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("The dog barks at the third second.\n" * 50)
    refuse(tmp_path / name, NotAVideoError, "pass a video")


def test_a_list_of_other_files_is_not_a_video(tmp_path: Path) -> None:
    video = write(tmp_path / "part.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{video.name}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    refuse(tmp_path / "list.m3u8", NotAVideoError, "text file .*hls")


def test_an_mp4_without_its_index_is_truncated(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "cut.mp4"), 0.5)
    refuse(path, TruncatedVideoError, r"cut.mp4: begins like an MP4.*no readable index \(moov\)")


def test_a_file_with_only_a_header_is_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "head.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # where the first cluster begins
    refuse(path, TruncatedVideoError, "ends before its first frame")


def test_a_name_with_a_colon_is_not_a_url(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.mp4").rename(tmp_path / "take:2.mp4")
    with open_media(path) as container:
        assert choose_video_stream(container, "take:2.mp4").codec_context.name == "h264"


def test_of_several_streams_the_default_ones_are_chosen(tmp_path: Path) -> None:
    small, large = Picture(size=(48, 64)), Picture(size=(96, 128))
    quiet, stereo = Track(level(0, 2)), Track(level(0, 2).repeat(2, 0), layout="stereo")
    path = write(tmp_path / "streams.mp4", [small, large], [quiet, stereo])
    with open_media(path) as container:
        for stream in container.streams:
            stream.disposition = type(stream.disposition)(stream.index in (1, 3))
        video = choose_video_stream(container, "streams.mp4")
        audio = choose_audio_stream(container, video)
        assert (video.width, audio.channels if audio else 0) == (128, 2)


def test_an_audio_file_has_no_video_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "bark.wav", [], [Track(level(0.5, 1))])
    with (
        open_media(path) as container,
        pytest.raises(
            NoVideoStreamError, match=r"bark.wav: has no video stream .*audio streams only"
        ),
    ):
        choose_video_stream(container, "bark.wav")


def test_cover_art_is_not_a_video_stream(tmp_path: Path) -> None:
    cover = Picture(times_ms=[0], codec="mjpeg", pixel_format="yuvj420p", options={})
    path = write(tmp_path / "song.mp4", [cover], [Track(level(0.5, 1), codec="aac")])
    with open_media(path) as container:
        container.streams.video[0].disposition = container.streams.video[0].disposition.attached_pic
        with pytest.raises(NoVideoStreamError, match="has no video stream"):
            choose_video_stream(container, "song.mp4")


def test_a_silent_video_has_no_audio_stream(tmp_path: Path) -> None:
    with open_media(write(tmp_path / "silent.mp4")) as container:
        assert choose_audio_stream(container, choose_video_stream(container, "silent.mp4")) is None


def test_mp4_promises_a_count_and_an_end(tmp_path: Path) -> None:
    path = write(tmp_path / "late.mp4", [Picture(times_ms=range(500, 2500, 100))])
    with open_media(path) as container:
        video = choose_video_stream(container, "late.mp4")
        assert announced_frames(video) == 20
        assert announced_end_s(video) == pytest.approx(2.5)


def test_matroska_promises_the_length_of_the_file_only(tmp_path: Path) -> None:
    with open_media(write(tmp_path / "plain.mkv")) as container:
        video = choose_video_stream(container, "plain.mkv")
        assert announced_frames(video) is None
        assert announced_end_s(video) is None
        assert announced_file_end_s(container) == pytest.approx(2.0)


def test_an_avi_that_was_cut_off_still_promises_its_whole_length(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "cut.avi", [Picture(noise=True)]), 0.5)
    with open_media(path) as container:
        end_s = announced_end_s(choose_video_stream(container, "cut.avi"))
        assert end_s == pytest.approx(2.0)


def test_packets_end_when_their_frames_do(tmp_path: Path) -> None:
    with open_media(write(tmp_path / "plain.mp4")) as container:
        packets = list(packets_of(container, choose_video_stream(container, "plain.mp4")))
        assert len(packets) == 20
        assert packet_end_s(packets[-1]) == pytest.approx(2.0)


@pytest.mark.parametrize(("count", "missing"), [(1, 0.5), (4, 2), (300, 3), (100_000, 500)])
def test_a_few_frames_may_be_missing_but_never_most(count: int, missing: float) -> None:
    assert tolerance_frames(count) == missing
