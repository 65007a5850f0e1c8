"""Intact clips of 2 s in the containers and codecs that PyAV can write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

FRAMES = 50
_RATE = 25
_SIDE = 64
_X264 = {"preset": "ultrafast", "bf": "2", "g": "12"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@dataclass(frozen=True)
class Form:
    """A container with the codecs of its video and audio.

    Attributes:
        suffix: Suffix of the file, which determines the container.
        video: Name of the video encoder.
        audio: Name of the audio encoder; None for a clip without audio.
        pixel_format: Pixel format of the video.
        options: Options of the video encoder.
        container: Options of the container.
        sample_rate: Sample rate of the audio, in Hz.
    """

    suffix: str
    video: str
    audio: str | None
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    sample_rate: int = 48000

    @property
    def name(self) -> str:
        """Name of the form in tables, such as "mp4 libx264 aac"."""
        fragmented = " fragmented" if self.container else ""
        return f"{self.suffix}{fragmented} {self.video} {self.audio or 'no audio'}"


FORMS = (
    Form("mp4", "libx264", "aac", options=_X264),
    Form("mp4", "libx264", "aac", options=_X264, container=_FRAGMENTS),
    Form("mp4", "libx265", "aac", options={"preset": "ultrafast", "x265-params": "log-level=0"}),
    Form("mp4", "mpeg4", "libmp3lame"),
    Form("mov", "libx264", "pcm_s16le", options=_X264),
    Form("mov", "prores_ks", "pcm_s24le", "yuv422p10le"),
    Form("mov", "mjpeg", "aac", "yuvj420p"),
    Form("mkv", "libx264", "libopus", options=_X264),
    Form("mkv", "libx265", "flac", options={"preset": "ultrafast", "x265-params": "log-level=0"}),
    Form("mkv", "ffv1", "pcm_s16le"),
    Form("mkv", "mpeg4", "ac3"),
    Form("webm", "libvpx-vp9", "libopus", options={"deadline": "realtime", "cpu-used": "8"}),
    Form("webm", "libvpx", "libopus", options={"deadline": "realtime", "cpu-used": "8"}),
    Form("ts", "libx264", "aac", options=_X264),
    Form("ts", "libx265", "aac", options={"preset": "ultrafast", "x265-params": "log-level=0"}),
    Form("ts", "mpeg2video", "mp2"),
    Form("avi", "mpeg4", "libmp3lame"),
    Form("avi", "mjpeg", "pcm_s16le", "yuvj420p"),
    Form("avi", "ffv1", "pcm_s16le"),
    Form("ogv", "libvpx", "libopus", options={"deadline": "realtime", "cpu-used": "8"}),
    Form("flv", "libx264", "aac", options=_X264),
    Form("flv", "flv", "libmp3lame", sample_rate=44100),
    Form("mxf", "mpeg2video", "pcm_s16le"),
    Form("wmv", "wmv2", "libmp3lame"),
    Form("gif", "gif", None, "rgb8"),
)


def write_clip(form: Form, path: Path) -> Path:
    """Write a clip of a moving square and a tone.

    Args:
        form: Container and codecs.
        path: The file to write.

    Returns:
        The path.
    """
    container_format = {"wmv": "asf", "ts": "mpegts", "ogv": "ogg", "mkv": "matroska"}.get(
        form.suffix, form.suffix
    )
    with av.open(str(path), "w", format=container_format, options=form.container) as container:
        video = container.add_stream(form.video, rate=_RATE, options=form.options)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = _SIDE, _SIDE, form.pixel_format
        video.thread_count = 1
        audio = _add_audio(container, form.audio, form.sample_rate) if form.audio else None
        encode_tone = _tone(audio, form.sample_rate) if audio else None
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            container.mux(video.encode(frame))
            if encode_tone is not None:
                container.mux(encode_tone(index))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def _add_audio(container: OutputContainer, codec: str, rate: int) -> AudioStream:
    stream = container.add_stream(codec, rate=rate, layout="stereo")
    assert isinstance(stream, AudioStream)
    return stream


def _picture(index: int) -> np.ndarray:
    """Draw a bright square that moves over a noisy gradient, (64, 64, 3) uint8."""
    rng = np.random.default_rng(index)
    rows = np.linspace(0, 120, _SIDE)[:, None, None]
    picture = rows + rng.uniform(0, 12, (_SIDE, _SIDE, 3))
    picture[8 + index % 24 :, index : index + 14] = (230, 200, 40)
    return picture.astype(np.uint8)


def _tone(stream: AudioStream, rate: int) -> Callable[[int], list[Packet[AudioStream]]]:
    """Return a function that encodes the audio of one frame of the video."""
    step = rate // _RATE

    def encode(index: int) -> list[Packet[AudioStream]]:
        times_s = (np.arange(step) + index * step) / rate
        samples = (9000 * np.sin(2 * np.pi * 440 * times_s)).astype(np.int16)
        packed = np.repeat(samples[:, None], 2, axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), index * step
        return stream.encode(frame)

    return encode
