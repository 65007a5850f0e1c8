"""Audio of an overlay: that of the tracks which the model used.

One track is copied as it is, or encoded as AAC if the mp4 container does not take its packets.
Several are mixed as for the model, and encoded. A track that does not overlap the picture is left
out: some of its times are damaged, and an mp4 file cannot have hours between its streams.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import Any, Protocol, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from avseg.media.audio import split_channels
from avseg.media.container import open_media, packet_end_s, packets_of
from avseg.media.mix import BESIDE_S, AudioMix, open_mix
from avseg.types import AudioSelection, VideoInfo

#: Sample rate of the mix of several tracks, in Hz.
MIX_SAMPLE_RATE = 48000

#: Longest time in seconds by which the audio of an overlay may end after the picture. Later times
#: are damaged; the silence before them would be encoded for hours.
MAX_AFTER_S = 3600.0

#: Audio to transfer: a stream, a mix of several, or none.
AudioSource = AudioStream | AudioMix | None

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


def open_source(files: ExitStack, video: VideoInfo, selection: AudioSelection) -> AudioSource:
    """Open the audio to transfer.

    Args:
        files: Closes the file handles.
        video: Metadata of the original file.
        selection: Audio tracks of that file.

    Returns:
        One stream, or the mix of several; None if no selected track overlaps the picture.
    """
    used = tuple(number for number in selection.used if _overlaps(video, number))
    for number in set(selection.used) - set(used):
        logger.warning(
            "%s: audio track %d does not overlap the picture, and is not in the overlay.",
            video.path,
            number,
        )
    if not used:
        return None
    if len(used) > 1:
        return open_mix(files, video.path, replace(selection, used=used), MIX_SAMPLE_RATE)
    container = files.enter_context(open_media(video.path))
    return container.streams.audio[used[0] - 1]


def open_soundtrack(output: OutputContainer, source: AudioSource, video: VideoInfo) -> Soundtrack:
    """Choose how to transfer the audio, and add an audio stream to the output.

    Args:
        output: The file to write; it must not contain any packet yet.
        source: The audio, from `open_source`.
        video: Metadata of the original file.

    Returns:
        The object that transfers the audio.
    """
    if source is None:
        return _NoAudio()
    if isinstance(source, AudioMix):
        return _MixedAudio(output, source, video)
    packets = _Packets(source, video.start_s + video.duration_s + MAX_AFTER_S)
    if _codec_name(source) in COPIED_CODECS:
        return _CopiedAudio(output, source, packets)
    return _EncodedAudio(output, source, packets)


def _overlaps(video: VideoInfo, number: int) -> bool:
    """Return whether a packet of an audio track is next to the picture, as the model accepts it."""
    begin_s = video.start_s - BESIDE_S
    end_s = video.start_s + video.duration_s + BESIDE_S
    with open_media(video.path) as container, suppress(av.FFmpegError):
        for packet in packets_of(container, container.streams.audio[number - 1]):
            stop_s = packet_end_s(packet)
            # Packets without a time follow the one before; the first one of a file is at its start.
            if stop_s is None or stop_s >= begin_s:
                return stop_s is None or _time(packet) <= end_s
    return False


class _Packets:
    """Packets of an audio stream, read up to a given time, and never beyond a last one."""

    def __init__(self, stream: AudioStream, last_s: float) -> None:
        self._last_s = last_s
        self._packets = packets_of(cast("InputContainer", stream.container), stream)
        self._next = self._read()

    def until(self, time_s: float) -> Iterator[Packet[AudioStream]]:
        while self._next is not None and _time(self._next) <= time_s:
            yield self._next
            self._next = self._read()

    def _read(self) -> Packet[AudioStream] | None:
        try:
            packet = cast("Packet[AudioStream] | None", next(self._packets, None))
        except av.FFmpegError as error:
            # Not an error here: damage is reported where the file is read for segmentation.
            logger.warning("the audio of the overlay ends early: %s", error)
            return None
        if packet is not None and _time(packet) > self._last_s:
            logger.warning(
                "the audio of the overlay ends early: it continues at %.0f s, long after the "
                "picture.",
                _time(packet),
            )
            return None
        return packet


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


class _Encoder:
    """AAC stream of the output, from frames of any format.

    Args:
        output: The file to write.
        rate: Sample rate of the stream in Hz, one that AAC supports.
        layout: "mono" or "stereo".
    """

    def __init__(self, output: OutputContainer, rate: int, layout: str) -> None:
        self._output, self._incomplete = output, False
        self._stream = output.add_stream("aac", rate=rate, layout=layout)
        encoder = self._stream.codec_context
        encoder.open()
        self._resampler = AudioResampler(
            format=encoder.format,
            layout=layout,
            rate=rate,
            frame_size=encoder.frame_size,
            options={"async": "1"},  # fill gaps with silence, so that later audio keeps its time
        )

    def encode(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resample(frame):
            self._output.mux(self._stream.encode(resampled))

    def finish(self) -> None:
        self.encode(None)
        self._output.mux(self._stream.encode(None))

    def _resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        try:
            return self._resampler.resample(None if frame is None else _with_known_layout(frame))
        except (av.FFmpegError, ValueError) as error:  # ValueError: the format has changed
            if not self._incomplete:  # once, because all frames of a track may be alike
                logger.warning("audio frames are missing in the overlay: %s", error)
            self._incomplete = True
            return []


class _EncodedAudio:
    def __init__(self, output: OutputContainer, stream: AudioStream, packets: _Packets) -> None:
        self.description = f"encoded anew ({_codec_name(stream)} to aac)"
        self._stream, self._packets = stream, packets
        rate = stream.sample_rate if stream.sample_rate in _AAC_SAMPLE_RATES else 48000
        self._encoder = _Encoder(output, rate, "mono" if stream.channels == 1 else "stereo")

    def advance(self, time_s: float) -> None:
        for packet in self._packets.until(time_s):
            self._decode(packet)

    def finish(self) -> None:
        self.advance(inf)
        self._decode(None)
        self._encoder.finish()

    def _decode(self, packet: Packet[AudioStream] | None) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            logger.warning("an audio packet is missing in the overlay: %s", error)
            return
        for frame in frames:
            self._encoder.encode(frame)


class _MixedAudio:
    """The mono mix, from the start to the end of the picture."""

    def __init__(self, output: OutputContainer, mix: AudioMix, video: VideoInfo) -> None:
        numbers = ", ".join(map(str, mix.numbers))
        self.description = f"mixed (audio tracks {numbers} to mono aac)"
        self._mix, self._encoder = mix, _Encoder(output, MIX_SAMPLE_RATE, "mono")
        self._position = round(video.start_s * MIX_SAMPLE_RATE)
        self._end_s = video.start_s + video.duration_s

    def advance(self, time_s: float) -> None:
        stop = round(time_s * MIX_SAMPLE_RATE)
        # A piece at a time, because a frame may stay on screen for hours.
        while self._position < stop:
            end = min(self._position + MIX_SAMPLE_RATE, stop)
            samples = self._mix.read(self._position, end)
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts = MIX_SAMPLE_RATE, self._position
            frame.time_base = Fraction(1, MIX_SAMPLE_RATE)
            self._encoder.encode(frame)
            self._position = end

    def finish(self) -> None:
        self.advance(self._end_s)
        self._encoder.finish()


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


def _time(packet: Packet[Any]) -> float:
    # Decoding times, since packets are stored and written in that order.
    stamp = packet.pts if packet.dts is None else packet.dts
    # A packet without a timestamp directly follows the one before it.
    return -inf if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


def _codec_name(stream: AudioStream) -> str:
    # The name of the codec, since that of the decoder may differ: "mp3float" decodes mp3.
    return stream.codec_context.codec.canonical_name
