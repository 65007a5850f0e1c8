"""The original sound in the overlay: the very same packets where the mp4 container takes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from math import inf
from typing import Protocol, cast

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from avseg.media.container import packets_of

logger = logging.getLogger(__name__)

#: What browsers and players play from an mp4 file; anything else is encoded anew, as AAC.
COPIED_CODECS = frozenset({"aac", "mp3", "opus", "flac"})

_AAC_SAMPLE_RATES = frozenset(
    {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)


class Soundtrack(Protocol):
    """Carries the sound of the source into the output, in step with the picture."""

    #: What happens to the sound, in words for the user.
    description: str

    def advance(self, time_s: float) -> None:
        """Put in the sound up to a time, in seconds on the source's clock."""

    def finish(self) -> None:
        """Put in all that is left."""


def open_soundtrack(
    output: OutputContainer, container: InputContainer, source: AudioStream | None
) -> Soundtrack:
    """Choose how the sound travels, and add its stream to the output.

    Args:
        output: The file being written; nothing may have been written to it yet.
        container: The file with the sound; nothing else may read from it.
        source: Its sound, or None if it has none.

    Returns:
        What carries the sound over.
    """
    if source is None:
        return _NoSound()
    packets = _Packets(container, source)
    if _codec_name(source) in COPIED_CODECS:
        return _CopiedSound(output, source, packets)
    return _EncodedSound(output, source, packets)


class _Packets:
    """The packets of a sound stream, handed out up to a time."""

    def __init__(self, container: InputContainer, source: AudioStream) -> None:
        self._packets = packets_of(container, source)
        self._next = self._read()

    def until(self, time_s: float) -> Iterator[Packet[AudioStream]]:
        while self._next is not None and _time(self._next) <= time_s:
            yield self._next
            self._next = self._read()

    def _read(self) -> Packet[AudioStream] | None:
        try:
            return cast("Packet[AudioStream] | None", next(self._packets, None))
        except av.FFmpegError as error:
            # Whether a damaged file is fit for use is judged where it is read to be segmented.
            logger.warning("the sound of the overlay ends early: %s", error)
            return None


class _NoSound:
    description = "none"

    def advance(self, time_s: float) -> None:
        """There is nothing to put in."""

    def finish(self) -> None:
        """There is nothing to put in."""


class _CopiedSound:
    def __init__(self, output: OutputContainer, source: AudioStream, packets: _Packets) -> None:
        self.description = f"copied ({_codec_name(source)})"
        self._output = output
        self._packets = packets
        self._stream = output.add_stream_from_template(source)

    def advance(self, time_s: float) -> None:
        for packet in self._packets.until(time_s):
            packet.stream = self._stream
            self._output.mux(packet)

    def finish(self) -> None:
        self.advance(inf)


class _EncodedSound:
    def __init__(self, output: OutputContainer, source: AudioStream, packets: _Packets) -> None:
        self.description = f"encoded anew ({_codec_name(source)} to aac)"
        self._output = output
        self._source = source
        self._packets = packets
        rate = source.sample_rate if source.sample_rate in _AAC_SAMPLE_RATES else 48000
        layout = "mono" if source.channels == 1 else "stereo"
        self._stream = output.add_stream("aac", rate=rate, layout=layout)
        encoder = self._stream.codec_context
        encoder.open()
        self._resampler = AudioResampler(
            format=encoder.format,
            layout=layout,
            rate=rate,
            frame_size=encoder.frame_size,
            options={"async": "1"},  # a gap in the sound stays a gap, so later sound keeps its time
        )

    def advance(self, time_s: float) -> None:
        for packet in self._packets.until(time_s):
            self._decode(packet)

    def finish(self) -> None:
        self.advance(inf)
        self._decode(None)
        self._encode(None)
        self._output.mux(self._stream.encode(None))

    def _decode(self, packet: Packet[AudioStream] | None) -> None:
        try:
            frames = self._source.decode(packet)
        except av.FFmpegError as error:
            logger.warning("a packet of sound is left out of the overlay: %s", error)
            return
        for frame in frames:
            self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resampler.resample(frame):
            self._output.mux(self._stream.encode(resampled))


def _time(packet: Packet[AudioStream]) -> float:
    stamp = packet.pts if packet.dts is None else packet.dts
    # A packet without a time follows the one before it at once.
    return -inf if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


def _codec_name(stream: AudioStream) -> str:
    # The codec, not the decoder, whose name may differ: mp3 is decoded by "mp3float".
    return stream.codec_context.codec.canonical_name
