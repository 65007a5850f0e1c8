"""The picture of a video: frames in the order and at the times they are shown, upright, in RGB."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from avseg.errors import (
    ClipError,
    CorruptVideoError,
    EmptyVideoError,
    NotAVideoError,
    TruncatedVideoError,
)
from avseg.media.container import (
    END_TOLERANCE_S,
    packet_end_s,
    packets_of,
    promised_end_s,
    promised_file_end_s,
    promised_frames,
    tolerance_frames,
)
from avseg.media.damage import HoleFinder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShownFrame:
    """A decoded frame and when it is on screen.

    Args:
        frame: Not converted yet, as most frames of a sparsely sampled video never are.
        start_s: Its presentation time, in seconds on the container's clock.
        end_s: When the next frame replaces it, or the picture ends.
    """

    frame: VideoFrame
    start_s: float
    end_s: float


class Picture:
    """The video stream of an open file, decoded once from beginning to end.

    Args:
        container: The open file; the picture reads it, so nothing else may.
        stream: The chosen video stream.
        origin: The file's name, for messages.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, origin: str) -> None:
        self._container, self._stream, self._origin = container, stream, origin
        self._packets = 0
        self._decoded = 0  # frames whose time moves on
        self._concealed = 0  # of these, frames that the decoder patched over damage
        self._timeless = 0  # frames without a presentation time
        self._refused = 0  # packets that the decoder refused
        self._refusal: FFmpegError | None = None  # the first, from the decoder or the container
        self._stream_end_s = self._file_end_s = -np.inf  # where the packets end
        self._holes = HoleFinder(stream)
        # AVI has no presentation times, and what FFmpeg guesses is wrong with B-frames: there the
        # frames are shown one after the other at the times at which their packets are decoded.
        self._in_decoding_order = container.format.name == "avi"
        self._order: deque[int | None] = deque()

    def shown_frames(self) -> Iterator[ShownFrame]:
        """Decode the frames in the order they are shown.

        Times come from the presentation timestamps alone. A frame whose time is not after that of
        the frame before it cannot be shown, and counts as lost. Damage does not stop the frames;
        ask `damage` when they have ended.

        Yields:
            ShownFrame: Each frame with the time it is on screen.
        """
        held: VideoFrame | None = None
        held_s = 0.0
        for frame in self._frames():
            time_s = self._time_s(frame)
            if time_s is None:
                self._timeless += 1
                continue
            if held is not None:
                if time_s <= held_s:
                    continue
                yield ShownFrame(held, held_s, time_s)
            self._decoded += 1
            self._concealed += frame.is_corrupt
            held, held_s = frame, time_s
        if held is not None:
            yield ShownFrame(held, held_s, held_s + self._last_duration_s(held))

    def damage(self) -> ClipError | None:
        """Compare what was decoded with what the container promises, once the frames have ended.

        Frames that the decoder had to patch count as missing. Up to 3 frames or 0.5 % may be
        missing (never half of them), which is logged, and the file may end up to half a second
        early. Any packet that the decoder refuses after its first frame is damage.

        Returns:
            None for a whole picture; EmptyVideoError if there are no frames and none were
            promised, NotAVideoError if they have no times, TruncatedVideoError if the file ends
            before the promised time, CorruptVideoError if it is all there but its frames are not.
        """
        promised = self._promised_count()
        if not self._packets and not promised:
            return EmptyVideoError(
                self._origin, "its video stream has no frames; give a video that has some."
            )
        if self._timeless and not self._decoded:
            return NotAVideoError(
                self._origin,
                "is a raw stream, whose frames have no times; put it into a container (mp4, mkv).",
            )
        counts = f"decoded {self._decoded} of {promised} frames"
        if self._concealed:
            counts += f", {self._concealed} of them damaged"
        if self._refused:
            counts += f", {self._refused} packets refused"
        if self._refusal is not None:
            counts += f" ({self._refusal.strerror})"
        truncation = self._truncation(counts)
        if truncation is not None:
            return truncation
        missing = promised - (self._decoded - self._concealed)
        if not self._decoded or self._refused or missing > tolerance_frames(promised):
            return CorruptVideoError(
                self._origin,
                f"the picture is damaged: {counts}; copy or download the file again, or re-encode "
                "it to keep what is left.",
            )
        if missing > 0:
            logger.warning("%s: %s", self._origin, counts)
        return None

    def _frames(self) -> Iterator[VideoFrame]:
        """Decode every packet, then what the decoder still holds."""
        for packet in self._video_packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _video_packets(self) -> Iterator[Packet[VideoStream]]:
        """Read the file, noting where the packets of all its streams end."""
        try:
            for packet in packets_of(self._container, *self._container.streams):
                self._holes.follow(packet)
                end_s = packet_end_s(packet)
                if end_s is not None:
                    self._file_end_s = max(self._file_end_s, end_s)
                if packet.stream_index != self._stream.index:
                    continue
                if end_s is not None:
                    self._stream_end_s = max(self._stream_end_s, end_s)
                self._packets += 1
                if self._in_decoding_order:
                    self._order.append(packet.dts)
                yield cast("Packet[VideoStream]", packet)
        except FFmpegError as error:
            # What follows cannot be read; `damage` says how much that is.
            self._refusal = self._refusal or error

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except FFmpegError as error:
            # A recording that begins between two key frames begins with packets that no decoder
            # can use: these are no damage.
            if self._decoded:
                self._refused += 1
                self._refusal = self._refusal or error
            return []

    def _time_s(self, frame: VideoFrame) -> float | None:
        """Say when a frame is shown, or None if nobody knows."""
        # The stream's time base, since a frame that comes out when the decoder is flushed has none.
        stamp = self._order.popleft() if self._order else frame.pts
        if stamp is None or self._stream.time_base is None:
            return None
        return float(stamp * self._stream.time_base)

    def _last_duration_s(self, frame: VideoFrame) -> float:
        """Say how long the last frame stays, which no later frame tells."""
        if frame.duration and self._stream.time_base is not None:
            return float(frame.duration * self._stream.time_base)
        return 1 / average_rate(self._stream)

    def _promised_count(self) -> int:
        """Say how many frames there should be, from the container's count and what it holds."""
        # Each packet should give a frame, or two of them one (its two fields).
        promised = promised_frames(self._stream)
        if promised is None:
            lost = round(self._holes.lost_s * average_rate(self._stream))
            promised = self._decoded + lost
        return max(promised, self._decoded, self._packets // 2)

    def _truncation(self, counts: str) -> TruncatedVideoError | None:
        """Describe the missing end of the file, if it is missing."""
        promised_s, reached_s = promised_end_s(self._stream), self._stream_end_s
        if promised_s is None:
            promised_s, reached_s = promised_file_end_s(self._container), self._file_end_s
        if promised_s is None or promised_s - reached_s <= END_TOLERANCE_S:
            return None
        reached_s = max(reached_s, 0.0)
        return TruncatedVideoError(
            self._origin,
            f"the file ends early, at {reached_s:.2f} s of {promised_s:.2f} s ({counts}); copy or "
            f"download it again, or re-encode it to keep the first {reached_s:.2f} s.",
        )


def average_rate(stream: VideoStream) -> float:
    """Say how many frames a second a stream has on average.

    Args:
        stream: The stream.

    Returns:
        Frames per second; 25 where neither the container nor the decoder has any idea.
    """
    return float(stream.average_rate or stream.guessed_rate or 25)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is laid out for display.

    Attributes:
        across: Step along the rows, 1, or -1 to mirror left and right.
        down: Step along the columns, 1, or -1 to mirror top and bottom.
        turned: Whether rows and columns change places before that.
    """

    across: int
    down: int
    turned: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read a frame's display matrix, which maps a stored point (x, y) to (ax + cy, bx + dy).

        Args:
            frame: The frame as decoded.

        Returns:
            Its orientation; as stored if it has no such matrix.
        """
        # Not `frame.side_data`, which the frame would keep: the two hold each other, and so the
        # picture stays in memory until the garbage collector comes by, hundreds of frames later.
        matrix = cast("Any", SideDataContainer)(frame).get("DISPLAYMATRIX")
        if matrix is None:
            return cls(1, 1, turned=False)
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        turned = abs(c) > abs(a)
        across, down = (c, b) if turned else (a, d)
        return cls(-1 if across < 0 else 1, -1 if down < 0 else 1, turned)

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise: 0, 90, 180 or 270, before any mirroring left to right."""
        if self.turned:
            return 90 if self.down < 0 else 270
        return 180 if self.down < 0 else 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Turn the stored height and width into those displayed, or these into those stored."""
        return (width, height) if self.turned else (height, width)

    def upright(self, stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Lay a stored plane or picture out for display.

        Args:
            stored: (H, W) or (H, W, C) uint8.

        Returns:
            A view of it, (H, W) or, if turned, (W, H), with C as before.
        """
        laid = stored.swapaxes(0, 1) if self.turned else stored
        return laid[:: self.down, :: self.across]


def to_rgb(frame: VideoFrame, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Convert a frame to RGB and turn it upright by its display matrix.

    The colour matrix and range are those the frame names. Deeper than 8 bits are reduced to 8
    without tone mapping. Pixels that are not square stay as stored.

    Args:
        frame: The frame as decoded.
        size: Height and width as displayed to scale to, for videos that change size on the way;
            None for the frame's own.

    Returns:
        The picture as displayed, (H, W, 3) uint8 RGB in [0, 255].
    """
    orientation = Orientation.of(frame)
    height, width = size or orientation.size(frame.height, frame.width)
    stored_height, stored_width = orientation.size(height, width)
    rgb = cast(
        "npt.NDArray[np.uint8]",
        frame.to_ndarray(format="rgb24", width=stored_width, height=stored_height),
    )
    return np.ascontiguousarray(orientation.upright(rgb))
