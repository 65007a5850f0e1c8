"""The sound of a video: a mono waveform on the container's clock."""

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
from avseg.media.container import END_TOLERANCE_S, packets_of, promised_end_s

SILENT_OK = "pass silent_ok=True (--silent-ok) to treat it as silence."

#: Timestamps of sound are rounded (Matroska to 1 ms) and clocks drift. Below this the samples
#: simply follow each other; above it there is a gap or an overlap, and the sound is placed anew.
SEAM_S = 0.05


@dataclass(frozen=True)
class _Piece:
    """Consecutive samples; `start` counts samples from time 0 of the container's clock."""

    start: int
    samples: npt.NDArray[np.float32]  # (S,)

    @property
    def stop(self) -> int:
        return self.start + len(self.samples)


class Sound:
    """The sound track of an open file as mono samples, sample n at n / sample_rate seconds.

    Channels are averaged, each with the same weight. Gaps are silent, and so are the times before
    the track begins and after it ends.

    Args:
        container: The open file; the sound reads it, so nothing else may.
        stream: The chosen audio stream.
        sample_rate: Samples per second wanted, in Hz.
        origin: The file's name, for messages.
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, sample_rate: int, origin: str
    ) -> None:
        self._container, self._stream, self._origin = container, stream, origin
        self._sample_rate = sample_rate
        self._incoming = self._pieces()
        self._held: list[_Piece] = []
        self._reached: int | None = None  # where the decoded sound ends
        self._finished = False
        self._refused = 0
        self._refusal: FFmpegError | None = None

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode the samples of a stretch of time, and forget everything before it.

        Args:
            start: First sample, counted from time 0 of the container's clock; it may be negative,
                and never less than in the call before.
            stop: One after the last sample.

        Returns:
            Samples, (stop - start,) float32 in [-1, 1].
        """
        self._held = [piece for piece in self._held if piece.stop > start]
        while not self._finished and (self._reached is None or self._reached < stop):
            piece = next(self._incoming, None)
            if piece is None:
                self._finished = True
                break
            self._reached = piece.stop
            if piece.stop > start:
                self._held.append(piece)
        audio = np.zeros(stop - start, np.float32)
        for piece in self._held:
            begin, end = max(piece.start, start), min(piece.stop, stop)
            if begin < end:
                audio[begin - start : end - start] = piece.samples[
                    begin - piece.start : end - piece.start
                ]
        return audio

    def damage(self) -> ClipError | None:
        """Compare what was decoded with what the container promises; ask when all was read.

        Only the sound that was asked for is decoded and checked. A packet that the decoder refuses
        after its first is damage; so is a track that ends more than half a second early.

        Returns:
            None for a whole sound; CorruptVideoError if packets were refused, TruncatedVideoError
            if the track ends before the promised time, NoAudioStreamError if it has no samples and
            promises none.
        """
        promised_s = promised_end_s(self._stream) or 0.0
        reason = "" if self._refusal is None else f" ({self._refusal.strerror})"
        if self._refused or (promised_s and self._reached is None):
            return CorruptVideoError(
                self._origin,
                f"the sound is damaged: {self._refused} of its packets cannot be decoded{reason}; "
                "copy or download the file again, or re-encode it to keep what is left.",
            )
        if self._reached is None:
            return NoAudioStreamError(self._origin, f"its sound track is empty; {SILENT_OK}")
        reached_s = self._reached / self._sample_rate
        if self._finished and promised_s - reached_s > END_TOLERANCE_S:
            return TruncatedVideoError(
                self._origin,
                f"the sound ends early, at {reached_s:.2f} s of {promised_s:.2f} s{reason}; "
                "copy or download the file again.",
            )
        return None

    def _pieces(self) -> Iterator[_Piece]:
        """Resample each run of consecutive frames, and place it by the time of its first."""
        run: _Run | None = None
        for frame in self._frames():
            time_s = self._time_s(frame)
            if run is not None and not run.continues_with(frame, time_s):
                yield from run.pieces(None)
                run = None
            if run is None:
                run = _Run(frame, time_s, self._sample_rate)
            yield from run.pieces(frame)
        if run is not None:
            yield from run.pieces(None)

    def _time_s(self, frame: AudioFrame) -> float | None:
        """Say when a frame is heard; None if it just follows the one before."""
        # The stream's time base, since a frame that comes out when the decoder is flushed has none.
        if frame.pts is None or self._stream.time_base is None:
            return None
        return float(frame.pts * self._stream.time_base)

    def _frames(self) -> Iterator[AudioFrame]:
        try:
            for packet in packets_of(self._container, self._stream):
                yield from self._decode(cast("Packet[AudioStream]", packet))
        except FFmpegError as error:
            # What follows cannot be read; `damage` says how much that is.
            self._refusal = self._refusal or error
        yield from self._decode(None)

    def _decode(self, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            return self._stream.decode(packet)
        except FFmpegError as error:
            # A recording that begins in mid-stream begins with packets that no decoder can use.
            if self._reached is not None:
                self._refused += 1
                self._refusal = self._refusal or error
            return []


class _Run:
    """Frames of sound that follow each other without a gap, in one format."""

    def __init__(self, first: AudioFrame, start_s: float | None, sample_rate: int) -> None:
        self._kind = _kind(first)
        self._start_s = start_s or 0.0
        self._samples_in = 0
        self._position = round(self._start_s * sample_rate)
        self._resampler = AudioResampler(format="fltp", layout=first.layout, rate=sample_rate)

    def continues_with(self, frame: AudioFrame, time_s: float | None) -> bool:
        """Tell whether a frame follows without a gap, an overlap or another format."""
        expected_s = self._start_s + self._samples_in / frame.sample_rate
        on_time = time_s is None or abs(time_s - expected_s) < SEAM_S
        return on_time and _kind(frame) == self._kind

    def pieces(self, frame: AudioFrame | None) -> Iterator[_Piece]:
        """Resample one more frame, or with None what the resampler still holds."""
        if frame is not None:
            self._samples_in += frame.samples
        for resampled in self._resampler.resample(frame):
            if resampled is None:  # flushing a resampler that had nothing to do
                continue
            mono = resampled.to_ndarray().mean(axis=0, dtype=np.float32)  # (S,)
            # Lossy codecs overshoot a little, and damaged float tracks hold NaN.
            piece = _Piece(self._position, np.nan_to_num(mono.clip(-1, 1)))
            self._position = piece.stop
            yield piece


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
