"""Audio of an overlay: the original packets, or AAC if the mp4 container does not take them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from math import inf
from typing import Protocol, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from avseg.media.audio import split_channels
from avseg.media.container import packets_of

logger = logging.getLogger(__name__)

#: Codecs that browsers and players play from an mp4 file. Audio in any other codec is encoded as
#: AAC.
COPIED_CODECS = frozenset({"aac", "mp3", "opus", "flac"})

#: Sample rates in Hz that AAC supports.
_AAC_SAMPLE_RATES = frozenset(
    {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)


class Soundtrack(Protocol):
    """Transfers the audio of the original to the output, in step with the video.

    Audio and video are written alternately, so that players need not search the file.
    """

    #: How the audio is transferred, for the user.
    description: str

    def advance(self, time_s: float) -> None:
        """Write the audio up to a time, in seconds on the clock of the original."""

    def finish(self) -> None:
        """Write the remaining audio."""


def open_soundtrack(
    output: OutputContainer, container: InputContainer, stream: AudioStream | None
) -> Soundtrack:
    """Choose how to transfer the audio, and add an audio stream to the output.

    Args:
        output: The file to write; it must not contain any packet yet.
        container: The original file; nothing else may read packets from it.
        stream: Its audio stream, or None if it has none.

    Returns:
        The object that transfers the audio.
    """
    if stream is None:
        return _NoAudio()
    packets = _Packets(container, stream)
    if _codec_name(stream) in COPIED_CODECS:
        return _CopiedAudio(output, stream, packets)
    return _EncodedAudio(output, stream, packets)


class _Packets:
    """Packets of an audio stream, read up to a given time."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._packets = packets_of(container, stream)
        self._next = self._read()

    def until(self, time_s: float) -> Iterator[Packet[AudioStream]]:
        while self._next is not None and _time(self._next) <= time_s:
            yield self._next
            self._next = self._read()

    def _read(self) -> Packet[AudioStream] | None:
        try:
            return cast("Packet[AudioStream] | None", next(self._packets, None))
        except av.FFmpegError as error:
            # Not an error here: damage is reported where the file is read for segmentation.
            logger.warning("the audio of the overlay ends early: %s", error)
            return None


class _NoAudio:
    description = "none"

    def advance(self, time_s: float) -> None:
        """Write nothing, since there is no audio."""

    def finish(self) -> None:
        """Write nothing, since there is no audio."""


class _CopiedAudio:
    def __init__(self, output: OutputContainer, stream: AudioStream, packets: _Packets) -> None:
        self.description = f"copied ({_codec_name(stream)})"
        self._output = output
        self._packets = packets
        self._output_stream = output.add_stream_from_template(stream)

    def advance(self, time_s: float) -> None:
        for packet in self._packets.until(time_s):
            packet.stream = self._output_stream
            self._output.mux(packet)

    def finish(self) -> None:
        self.advance(inf)


class _EncodedAudio:
    def __init__(self, output: OutputContainer, stream: AudioStream, packets: _Packets) -> None:
        self.description = f"encoded anew ({_codec_name(stream)} to aac)"
        self._output = output
        self._input_stream = stream
        self._packets = packets
        self._incomplete = False
        rate = stream.sample_rate if stream.sample_rate in _AAC_SAMPLE_RATES else 48000
        layout = "mono" if stream.channels == 1 else "stereo"
        self._output_stream = output.add_stream("aac", rate=rate, layout=layout)
        encoder = self._output_stream.codec_context
        encoder.open()
        self._resampler = AudioResampler(
            format=encoder.format,
            layout=layout,
            rate=rate,
            frame_size=encoder.frame_size,
            options={"async": "1"},  # fill gaps with silence, so that later audio keeps its time
        )

    def advance(self, time_s: float) -> None:
        for packet in self._packets.until(time_s):
            self._decode(packet)

    def finish(self) -> None:
        self.advance(inf)
        self._decode(None)
        self._encode(None)
        self._output.mux(self._output_stream.encode(None))

    def _decode(self, packet: Packet[AudioStream] | None) -> None:
        try:
            frames = self._input_stream.decode(packet)
        except av.FFmpegError as error:
            logger.warning("an audio packet is missing in the overlay: %s", error)
            return
        for frame in frames:
            self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resample(frame):
            self._output.mux(self._output_stream.encode(resampled))

    def _resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        try:
            return self._resampler.resample(None if frame is None else _with_known_layout(frame))
        except (av.FFmpegError, ValueError) as error:  # ValueError: the format has changed
            if not self._incomplete:  # once, because all frames of a track may be alike
                logger.warning("audio frames are missing in the overlay: %s", error)
            self._incomplete = True
            return []


def _with_known_layout(frame: av.AudioFrame) -> av.AudioFrame:
    """Mix a frame to mono if nothing says what its channels are, so that FFmpeg cannot mix them."""
    if frame.layout.name != f"{frame.layout.nb_channels} channels":
        return frame
    packed = AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
    channels = [split_channels(block) for block in packed.resample(frame)]
    samples = np.concatenate(channels, axis=1).mean(axis=0, keepdims=True, dtype=np.float32)
    mono = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
    mono.sample_rate, mono.pts, mono.time_base = frame.sample_rate, frame.pts, frame.time_base
    return mono


def _time(packet: Packet[AudioStream]) -> float:
    # Decoding times, since packets are stored and written in that order.
    stamp = packet.pts if packet.dts is None else packet.dts
    # A packet without a timestamp directly follows the one before it.
    return -inf if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


def _codec_name(stream: AudioStream) -> str:
    # The name of the codec, since that of the decoder may differ: "mp3float" decodes mp3.
    return stream.codec_context.codec.canonical_name
