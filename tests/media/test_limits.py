"""No file makes its reader need more memory than the limits allow."""

import sys
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from avseg.errors import VideoTooLargeError
from avseg.media import probe, stream_clips
from avseg.media.clip import AUDIO_MARGIN_S
from avseg.media.limits import DecoderMemory, frame_bytes, limit_blocks, limit_video_decoder
from avseg.media.video import VideoTrack
from tests.media.videos import Picture, Track, level, write

#: Limits of the module, by name.
LIMITS = "avseg.media.limits."


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_video_with_too_many_pixels_is_an_error_with_the_limit(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / name, tracks=[Track(level(0.1, 2), codec="aac")])
    monkeypatch.setattr(LIMITS + "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoTooLargeError, match=r"64 x 48 pixels; at most 3071 .*Scale the"):
        probe(path)
    with pytest.raises(VideoTooLargeError):
        list(stream_clips(path))


def test_a_video_that_becomes_too_large_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write(tmp_path / "small.ts", [Picture()])
    late = range(2000, 4000, 100)
    large = write(tmp_path / "large.ts", [Picture(size=(96, 128), times_ms=late)])
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    assert len(list(stream_clips(path, None, frames_per_chunk=1, silent_ok=True))) == 40
    monkeypatch.setattr(LIMITS + "MAX_PIXELS", 64 * 48)
    with pytest.raises(VideoTooLargeError, match="128 x 96 pixels"):
        list(stream_clips(path, None, silent_ok=True))


@pytest.mark.parametrize(("references", "is_refused"), [(1, False), (16, True)])
def test_a_decoder_that_holds_too_many_frames_is_an_error(
    references: int, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"x264-params": f"ref={references}:bframes=0:scenecut=0"}
    path = write(tmp_path / "a.mkv", [Picture(options=options, noise=True)])
    monkeypatch.setattr(LIMITS + "DECODER_BYTES", 64 * 48 * (10 * 3 // 2 + 3))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        memory = DecoderMemory(stream.codec_context, "a.mkv")
        frames = container.decode(stream)
        if is_refused:
            with pytest.raises(VideoTooLargeError, match=r"\d+ frames of 64 x 48 .* fewer refer"):
                for frame in frames:
                    memory.add(frame)
        else:
            for frame in frames:
                memory.add(frame)


def test_the_frames_of_the_de_interlacing_filter_count_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mkv", [Picture(options={"x264-params": "tff=1:bframes=0:ref=1"})])
    frames = list(av.open(str(path)).decode(video=0))
    assert frames[0].interlaced_frame
    context = av.CodecContext.create("h264", "r")
    monkeypatch.setattr(LIMITS + "DECODER_BYTES", 64 * 48 * (4 * 3 // 2 + 3))
    with pytest.raises(VideoTooLargeError, match=r"needs 5 frames .*, or de-interlace it"):
        DecoderMemory(context, "a.mkv").add(frames[0])


def test_frames_of_10_bits_take_twice_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    context = av.CodecContext.create("h264", "r")
    monkeypatch.setattr(LIMITS + "DECODER_BYTES", 64 * 48 * 9 // 2)
    DecoderMemory(context, "a.mkv").add(av.VideoFrame(64, 48, "yuv420p"))
    deep = av.VideoFrame(64, 48, "yuv420p10le")
    with pytest.raises(VideoTooLargeError, match=r"yuv420p10le\) .* 9216 .* convert it to 8 bits"):
        DecoderMemory(context, "a.mkv").add(deep)


@pytest.mark.parametrize(("height", "kind"), [(1440, "AUTO"), (2160, "SLICE")])
def test_large_frames_are_decoded_one_at_a_time(height: int, kind: str) -> None:
    context = av.CodecContext.create("h264", "r")
    context.height, context.width, context.pix_fmt = height, height * 16 // 9, "yuv420p"
    limit_video_decoder(context, "a.mkv")
    assert context.thread_type.name == kind


def test_a_frame_that_was_yielded_is_not_held(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv")
    with av.open(str(path)) as container:
        shown = VideoTrack(container, container.streams.video[0], "a.mkv").shown_frames()
        frame = next(shown).frame
        assert sys.getrefcount(frame) <= 2  # the variable and the argument


def test_the_memory_of_a_frame_depends_on_its_format() -> None:
    assert frame_bytes(av.VideoFormat("yuv420p"), 8, 4) == 48
    assert frame_bytes(av.VideoFormat("yuv420p10le"), 8, 4) == 96
    assert frame_bytes(None, 8, 4) == 48


def test_ffmpeg_refuses_blocks_above_the_limit() -> None:
    limit_blocks()
    with pytest.raises(MemoryError):
        av.VideoFrame(12_000, 12_000, "rgba")


def test_a_large_audio_packet_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", tracks=[Track(level(0.1, 2))])
    monkeypatch.setattr(LIMITS + "AUDIO_PACKET_BYTES", 1000)
    with pytest.raises(VideoTooLargeError, match="a packet of its audio has 2048 bytes; at most"):
        list(stream_clips(path))


def test_an_audio_frame_that_is_large_after_resampling_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mkv", tracks=[Track(level(0.1, 2))])
    monkeypatch.setattr(LIMITS + "AUDIO_FRAME_SAMPLES", 2000)
    assert list(stream_clips(path, sample_rate=16000))
    with pytest.raises(VideoTooLargeError, match="1024 samples of 1 channels, 3072 in all"):
        list(stream_clips(path, sample_rate=48000))


def test_chunks_of_large_pictures_have_fewer_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mkv", [Picture(times_ms=range(0, 1000, 100))])
    monkeypatch.setattr("avseg.media.clip.CLIP_PIXELS", 4 * 64 * 48 + 1)
    clips = list(stream_clips(path, None, silent_ok=True))
    assert [len(clip.frames) for clip in clips] == [4, 4, 2]
    monkeypatch.setattr("avseg.media.clip.CLIP_PIXELS", 1)
    clips = list(stream_clips(path, None, silent_ok=True))
    assert [len(clip.frames) for clip in clips] == [1] * 10


def test_frames_that_are_far_apart_do_not_hold_the_audio_between_them(tmp_path: Path) -> None:
    # Frames are half an hour apart; the audio between the first and the last has 2 GB.
    picture = Picture(times_ms=range(0, 19 * 1_800_000, 1_800_000))
    path = write(tmp_path / "a.mkv", [picture], [Track(level(0.1, 2))])
    tracemalloc.start()
    clips = stream_clips(path, None, sample_rate=16000, silent_ok=True)
    lengths_s = [len(clip.audio) / clip.sample_rate for clip in clips]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(lengths_s, [2 * AUDIO_MARGIN_S] * 19, atol=0.01)
    assert peak < 20e6
