"""Small test videos, written as needed, each with one special property.

Frame i has one shade of grey, `grey(i)`, so that tests can identify frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Track:
    """Audio track: (C, S) float32 samples in [-1, 1] that begin at `start_s`."""

    samples: npt.NDArray[np.float32]
    sample_rate: int = 16000
    layout: str = "mono"
    start_s: float = 0.0
    codec: str = "pcm_s16le"
    gap: tuple[float, float] = (0.0, 0.0)  # samples from the first second on come this much later
    language: str = "und"
    title: str = ""
    default: bool = False  # without any, FFmpeg's muxers mark tracks on their own


@dataclass(frozen=True)
class Picture:
    """Video stream: one frame at each time, in milliseconds."""

    times_ms: Sequence[int] = tuple(range(0, 2000, 100))
    size: tuple[int, int] = (48, 64)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "10"})
    rate: Fraction = Fraction(10)
    time_base: Fraction = MILLISECOND  # MPEG-2 can only store multiples of its frame rate
    rotation: int = 0
    mirrored: bool = False
    noise: bool = False
    drawing: npt.NDArray[np.uint8] | None = None  # (H, W, 3), instead of the shades of grey
    tags: tuple[int, int, int, int] = (2, 2, 2, 0)  # primaries, transfer, matrix, range; H.273
    metadata: dict[str, str] = field(default_factory=dict)
    cover: bool = False  # an attached picture, not the video


def grey(index: int) -> int:
    """Return the shade of frame `index`; the first 55 differ."""
    return 20 + 4 * (index % 55)


def level(value: float, seconds: float, sample_rate: int = 16000) -> npt.NDArray[np.float32]:
    """Return one channel of a constant value, (1, S), so that the mean of any window is known."""
    return np.full((1, round(seconds * sample_rate)), value, np.float32)


def write(
    path: Path,
    pictures: Sequence[Picture] = (Picture(),),
    tracks: Sequence[Track] = (),
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write streams to a file, interleaved by the muxer."""
    with av.open(str(path), "w", container_options=container_options) as container:
        videos = [_add_video(container, picture) for picture in pictures]
        audios = [_add_audio(container, track) for track in tracks]
        for video, picture in zip(videos, pictures, strict=True):
            _encode_picture(container, video, picture)
        for audio, track in zip(audios, tracks, strict=True):
            _encode_track(container, audio, track)
    return path


def overwrite(path: Path, begin: float, end: float, flips: int | None = None) -> Path:
    """Damage a range of a file, given as shares of it: set it to zero, or flip some bytes."""
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    part = data[round(begin * len(data)) : round(end * len(data))]
    if flips is None:
        part[:] = 0
    else:
        part[np.random.default_rng(0).integers(0, len(part), flips)] ^= 0xFF
    path.write_bytes(data.tobytes())
    return path


def cut(path: Path, share: float) -> Path:
    """Truncate a file to a share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    return path


def copy_from(source: Path, path: Path, start_s: float) -> Path:
    """Copy a video without encoding, from any time on: an edit list hides the frames before it."""
    with (
        av.open(str(source)) as container,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as output,
    ):
        stream = container.streams.video[0]
        copied = output.add_stream_from_template(stream)
        assert stream.time_base is not None
        offset = round(start_s / stream.time_base)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
                packet.stream = copied
                output.mux(packet)
    return path


def _add_video(container: OutputContainer, picture: Picture) -> VideoStream:
    stream = container.add_stream(picture.codec, rate=picture.rate, options=picture.options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = picture.size
    stream.pix_fmt = picture.pixel_format
    stream.codec_context.time_base = picture.time_base
    stream.metadata.update(picture.metadata)
    encoder = stream.codec_context
    (encoder.color_primaries, encoder.color_trc, encoder.colorspace, encoder.color_range) = (
        picture.tags
    )
    if picture.cover:
        stream.disposition = Disposition.attached_pic
    if picture.rotation or picture.mirrored:
        stream.set_display_rotation(picture.rotation, hflip=picture.mirrored)
    return stream


def _add_audio(container: OutputContainer, track: Track) -> AudioStream:
    stream = container.add_stream(track.codec, rate=track.sample_rate, layout=track.layout)
    assert isinstance(stream, AudioStream)
    stream.metadata.update({"language": track.language, "title": track.title})
    if track.default:
        stream.disposition = Disposition.default
    return stream


def _encode_picture(container: OutputContainer, stream: VideoStream, picture: Picture) -> None:
    rng = np.random.default_rng(0)
    for index, time_ms in enumerate(picture.times_ms):
        rgb = np.full((*picture.size, 3), grey(index), np.uint8)
        if picture.noise:
            rgb = rng.integers(0, 256, rgb.shape, np.uint8)
        if picture.drawing is not None:
            rgb = picture.drawing
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = time_ms, MILLISECOND
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_track(container: OutputContainer, stream: AudioStream, track: Track) -> None:
    step = 1024
    for begin in range(0, track.samples.shape[1], step):
        block = track.samples[:, begin : begin + step]
        # Packed, because PyAV fills at most 8 planes.
        packed = np.ascontiguousarray(block.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=track.layout)
        frame.sample_rate, frame.time_base = track.sample_rate, Fraction(1, track.sample_rate)
        late = track.gap[1] if begin >= track.gap[0] * track.sample_rate else 0.0
        frame.pts = begin + round((track.start_s + late) * track.sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
