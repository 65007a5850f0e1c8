"""Audio track of a video, decoded to a mono waveform on the clock of the container.

S is the number of samples, R the number of rows: the mono mix alone, or followed by the left and
the right channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from avseg.errors import ClipError, CorruptVideoError, NoAudioStreamError, TruncatedVideoError
from avseg.media.container import END_TOLERANCE_S, announced_end_s, explain, packets_of
from avseg.media.limits import check_audio_frame, check_audio_packet
from avseg.media.mono import MonoMixer, left_and_right

SILENT_OK = "pass silent_ok=True (--silent-ok) to treat the video as silent."

#: Largest difference in seconds between the timestamp of an audio frame and the end of the frame
#: before it at which they still count as consecutive. Timestamps are rounded (to 1 ms in Matroska)
#: and clocks drift, so smaller differences mean nothing. A larger one is a gap or an overlap.
MAX_JITTER_S = 0.05

#: Total length of the gaps in a track that gets no warning: a share of its length, and seconds.
GAP_SHARE, GAP_S = 0.05, 1.0

#: Seconds by which a track may end before the announced time without a warning. Priming and padding
#: of a lossy codec are shorter.
END_WARNING_S = 0.15

#: Largest magnitude of the samples of digital silence, relative to full scale: one step of 16 bits.
#: Dither is that large, and AC-3 decodes zeros to a quarter of it.
SILENT_PEAK = 2.0**-15

#: Lowest sample rate of real audio, in Hz; the lowest of the standard rates is 8000.
MIN_SAMPLE_RATE = 1000


@dataclass(frozen=True)
class _Block:
    """Consecutive samples.

    Attributes:
        start: Index of the first sample, counted from time 0 of the container's clock.
        samples: Samples in [-1, 1], (R, S).
    """

    start: int
    samples: npt.NDArray[np.float32]

    @property
    def stop(self) -> int:
        return self.start + len(self.samples[0])


class AudioTrack:
    """Audio track of an open file as mono samples; sample n is at n / sample_rate seconds.

    The channels are averaged with equal weights, except where they cancel each other (see
    `MonoMixer`). Gaps in the track, and the time before its start and after its end, are filled
    with zeros.

    Args:
        container: The open file. Nothing else may read packets from it.
        stream: The audio stream to decode.
        sample_rate: Sample rate of the result, in Hz.
        origin: Path of the file, for messages.
        audio_channels: 2 to keep the left and the right channel beside the mono mix, else 1.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        sample_rate: int,
        origin: str,
        audio_channels: int = 1,
    ) -> None:
        self._container, self._stream, self._origin = container, stream, origin
        self._sample_rate = sample_rate
        self._audio_channels = audio_channels
        self._incoming = self._blocks()
        self._buffer: list[_Block] = []
        self._decoded_stop: int | None = None  # index after the last decoded sample
        self._finished = False
        self._decoded_any = False
        self._decoded_start: int | None = None  # index of the first decoded sample
        self._used = 0  # number of decoded samples within the ranges that were read
        self._mixer = MonoMixer()
        self._gaps_s: list[float] = []  # lengths of the gaps between two segments
        self._refused_packets = 0
        self._first_error: str | None = None

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode a range of mono samples, and drop the samples before it from memory.

        Args:
            start: Index of the first sample, counted from time 0 of the container's clock. It may
                be negative, and must not be less than in the previous call.
            stop: Index after the last sample.

        Returns:
            Samples, (stop - start,) float32 in [-1, 1].

        Raises:
            VideoTooLargeError: If a packet or a frame of the audio is too large.
        """
        mono: npt.NDArray[np.float32] = self.read_rows(start, stop)[0]
        return mono

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode a range of samples of all rows, and drop the samples before it from memory.

        Args:
            start: As for `read`.
            stop: As for `read`.

        Returns:
            Mono samples, followed by left and right if the track has two channels here,
            (R, stop - start) float32 in [-1, 1].

        Raises:
            VideoTooLargeError: If a packet or a frame of the audio is too large.
        """
        self._buffer = [block for block in self._buffer if block.stop > start]
        while not self._finished and (self._decoded_stop is None or self._decoded_stop < stop):
            block = self._next_block()
            if block is not None and block.stop > start:
                self._buffer.append(block)
        audio = np.zeros((count_rows(self._audio_channels), stop - start), np.float32)
        for block in self._buffer:
            begin, end = max(block.start, start), min(block.stop, stop)
            if begin < end:
                self._used += end - begin
                audio[:, begin - start : end - start] = block.samples[
                    :, begin - block.start : end - block.start
                ]
        return audio

    def is_silent(self, start: int, stop: int) -> bool:
        """Decode up to the first sample of a range that is not digital silence.

        Memory does not grow with the length of the track. `read` cannot be used afterwards.

        Args:
            start: Index of the first sample of the range, as in `read`.
            stop: Index after its last sample.

        Returns:
            True if the track was decoded to the end of the range and has no such sample in it.
        """
        while (block := self._next_block()) is not None and block.start < stop:
            within = block.samples[0, max(start - block.start, 0) : stop - block.start]
            self._used += len(within)
            if (np.abs(within) > SILENT_PEAK).any():
                return False
        return True

    def range_s(self) -> tuple[float, float] | None:
        """Return the start and end of the audio decoded so far in seconds, or None without any."""
        if self._decoded_start is None or self._decoded_stop is None:
            return None
        return self._decoded_start / self._sample_rate, self._decoded_stop / self._sample_rate

    @property
    def overlaps(self) -> bool:
        """Whether a decoded sample was in a range that was read."""
        return self._used > 0

    @property
    def ends_unannounced(self) -> bool:
        """Whether the track ended, and the container does not announce when it should."""
        formats = self._container.format.name.split(",")
        announced = announced_end_s(self._stream) is not None
        # The duration of a stream of MPEG-TS is only that of the packets that are there.
        return self._finished and (not announced or bool({"mpegts", "mpeg"}.intersection(formats)))

    def warnings(self) -> list[str]:
        """Describe properties of the audio read so far, and losses that `damage` tolerates."""
        warnings = []
        cancelled_s = self._mixer.cancelled_samples / self._sample_rate
        if cancelled_s:
            warnings.append(
                "the channels of the audio cancel each other in the mono mix (opposite phases) for "
                f"{cancelled_s:.1f} s; there, the loudest channel alone is used."
            )
        return warnings + (self._losses() if self.damage() is None else [])

    def _losses(self) -> list[str]:
        """Describe what may be a loss, but is no damage for certain."""
        warnings = []
        begin_s, end_s = self.range_s() or (0.0, 0.0)
        announced_s = announced_end_s(self._stream) or 0.0
        if self._finished and announced_s - end_s > END_WARNING_S:
            warnings.append(f"the audio ends early, at {end_s:.2f} s of {announced_s:.2f} s.")
        gap_s = sum(self._gaps_s)
        if gap_s > min(GAP_S, GAP_SHARE * (end_s - begin_s)):
            warnings.append(
                f"the audio has gaps of {gap_s:.2f} s in total, which are read as silence: it "
                "pauses there, or is lost."
            )
        return warnings

    def damage(self) -> ClipError | None:
        """Compare the decoded audio with what the container announces.

        Call it after the last `read`; only the audio that was read is checked. Damage is a packet
        that the decoder refuses after the first decoded one, or a track that ends more than half a
        second early.

        Returns:
            None for a complete track; CorruptVideoError if packets were refused,
            TruncatedVideoError if the track ends before the announced time, NoAudioStreamError if
            it has no samples and announces none.
        """
        announced_s = announced_end_s(self._stream) or 0.0
        reason = "" if self._first_error is None else f" ({self._first_error})"
        if self._refused_packets or (announced_s and self._decoded_stop is None):
            return CorruptVideoError(
                self._origin,
                f"the audio track is damaged: {self._refused_packets} of its packets cannot be "
                f"decoded{reason}. Copy or download the file again, or re-encode it to keep the "
                "readable audio.",
            )
        if self._decoded_stop is None:
            return NoAudioStreamError(self._origin, f"its audio track is empty; {SILENT_OK}")
        end_s = self._decoded_stop / self._sample_rate
        if self._finished and announced_s - end_s > END_TOLERANCE_S:
            return TruncatedVideoError(
                self._origin,
                f"the audio track ends early, at {end_s:.2f} s of {announced_s:.2f} s{reason}. "
                "Copy or download the file again.",
            )
        return None

    def _next_block(self) -> _Block | None:
        """Decode the next samples, and note which range has been decoded; None at the end."""
        block = next(self._incoming, None)
        if block is None:
            self._finished = True
            return None
        self._decoded_stop = block.stop
        if self._decoded_start is None:
            self._decoded_start = block.start
        return block

    def _blocks(self) -> Iterator[_Block]:
        """Resample the frames and position each contiguous segment by its first timestamp."""
        segment: _Segment | None = None
        for frame in self._frames():
            # Lower in damaged headers only. A frame would resample to hours of audio, or divide by
            # zero.
            if frame.sample_rate < MIN_SAMPLE_RATE:
                self._refuse(f"its sample rate is {frame.sample_rate} Hz")
                continue
            check_audio_frame(frame, self._sample_rate, self._origin)
            time_s = self._time_s(frame)
            if segment is not None and not segment.continues_with(frame, time_s):
                yield from self._resample(segment, None)
                self._add_gap(segment, time_s)
                segment = None
            if segment is None:
                segment = _Segment(
                    frame, time_s, self._sample_rate, self._mixer, self._audio_channels
                )
            yield from self._resample(segment, frame)
        if segment is not None:
            yield from self._resample(segment, None)

    def _add_gap(self, before: _Segment, time_s: float | None) -> None:
        """Note the time between the end of a segment and the frame after it."""
        gap_s = 0.0 if time_s is None else time_s - before.end_s
        if gap_s >= MAX_JITTER_S:
            self._gaps_s.append(gap_s)

    def _resample(self, segment: _Segment, frame: AudioFrame | None) -> Iterator[_Block]:
        """Resample a frame; count it as refused if FFmpeg does not support its format."""
        try:
            yield from segment.resample(frame)
        except (FFmpegError, ValueError) as error:  # such as more than 64 channels
            self._refuse(explain(error))

    def _refuse(self, reason: str) -> None:
        """Count a packet that gives no audio, and keep the first reason."""
        self._refused_packets += 1
        self._first_error = self._first_error or reason

    def _time_s(self, frame: AudioFrame) -> float | None:
        """Return the presentation time of a frame in seconds, or None if it has no timestamp."""
        # The time base of the stream: frames that come out of a flushed decoder have none.
        if frame.pts is None or self._stream.time_base is None:
            return None
        return float(frame.pts * self._stream.time_base)

    def _frames(self) -> Iterator[AudioFrame]:
        try:
            for packet in packets_of(self._container, self._stream):
                audio_packet = cast("Packet[AudioStream]", packet)
                check_audio_packet(audio_packet, self._origin)
                yield from self._decode(audio_packet)
        except FFmpegError as error:
            # The remaining packets cannot be read. `damage` reports how much audio is missing.
            self._first_error = self._first_error or explain(error)
        yield from self._decode(None)

    def _decode(self, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            frames = self._stream.decode(packet)
        except FFmpegError as error:
            # A recording cut out of a stream starts with packets that refer to earlier ones. No
            # decoder can use them, so errors before the first decoded frame are no damage.
            if self._decoded_any:
                self._refuse(explain(error))
            return []
        self._decoded_any = self._decoded_any or bool(frames)
        return frames


class _Segment:
    """Contiguous audio frames of one format, resampled together.

    Only the timestamp of the first frame is used. Positioning every frame by its own timestamp
    would put rounding errors, and so clicks, between the frames. AAC and MP3
    encoders prepend priming samples; FFmpeg drops them while decoding, as the container declares
    them, so the first timestamp is already that of the first sample of the recording.

    Args:
        first: First frame of the segment; `resample` still has to be called with it.
        start_s: Its presentation time in seconds, or None for 0.
        sample_rate: Sample rate of the result, in Hz.
        mixer: Mixer of the whole track.
        audio_channels: As for `AudioTrack`.
    """

    def __init__(
        self,
        first: AudioFrame,
        start_s: float | None,
        sample_rate: int,
        mixer: MonoMixer,
        audio_channels: int,
    ) -> None:
        self._mixer, self._sample_rate, self._audio_channels = mixer, sample_rate, audio_channels
        self._waiting: list[npt.NDArray[np.float32]] = []  # resampled, but not mixed yet, (C, S)
        self._format = _format(first)
        self._start_s = start_s or 0.0
        self._samples_in, self._rate_in = 0, first.sample_rate
        self._position = round(self._start_s * sample_rate)
        self._resampler = AudioResampler(format="flt", layout=first.layout, rate=sample_rate)

    @property
    def end_s(self) -> float:
        """Presentation time of the end of its last frame, in seconds."""
        return self._start_s + self._samples_in / self._rate_in

    def continues_with(self, frame: AudioFrame, time_s: float | None) -> bool:
        """Return whether a frame follows without a gap, an overlap or a change of format."""
        on_time = time_s is None or abs(time_s - self.end_s) < MAX_JITTER_S
        return on_time and _format(frame) == self._format

    def resample(self, frame: AudioFrame | None) -> Iterator[_Block]:
        """Resample one more frame.

        Args:
            frame: The frame that follows; None flushes the samples that are buffered.

        Yields:
            _Block: About one second of audio, the last one of the segment less.
        """
        if frame is not None:
            self._samples_in += frame.samples
        # A resampler with equal input and output rate buffers nothing, and returns None.
        resampled = [block for block in self._resampler.resample(frame) if block is not None]
        self._waiting.extend(split_channels(block) for block in resampled)
        length = sum(channels.shape[1] for channels in self._waiting)
        # Whether channels cancel each other can be judged over a longer time only: the mean of the
        # channels of a few oscillations may be small by chance.
        if length >= self._sample_rate or (frame is None and length):
            channels = np.concatenate(self._waiting, axis=1)
            self._waiting = []
            mono = self._mixer.mix(channels)
            rows = mono[None]
            if self._audio_channels == 2:
                rows = np.concatenate([rows, left_and_right(channels, mono)])
            block = _Block(self._position, rows)
            self._position = block.stop
            yield block


def count_rows(audio_channels: int) -> int:
    """Return the number of rows R of audio with one or two channels."""
    return 1 if audio_channels == 1 else 3


def split_channels(frame: AudioFrame) -> npt.NDArray[np.float32]:
    """Copy the samples of a packed float frame (format "flt") into one row for each channel.

    Planar frames are not supported: PyAV reads past the end of their list of planes if there are 8
    or more, and the process ends.

    Args:
        frame: Frame with interleaved float samples, from a resampler with the format "flt".

    Returns:
        Channels, (C, S) float32, C-contiguous.

    Raises:
        ValueError: If the frame has another format.
    """
    if frame.format.name != "flt":
        raise ValueError(f"the format of the frame is {frame.format.name}; it must be flt.")
    interleaved = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)  # (S, C)
    # A copy, because numpy adds the values of a strided view in another order, so that the mean of
    # the channels would differ in its last digit.
    return np.ascontiguousarray(interleaved.T)


def _format(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
