"""Video track of a file, decoded to frames in presentation order, upright and in RGB.

H and W are the height and width of a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
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
    announced_end_s,
    announced_file_end_s,
    announced_frames,
    indexed_frames,
    packet_end_s,
    packets_of,
    tolerance_frames,
)
from avseg.media.conversion import conversion_notes, stored_rgb
from avseg.media.damage import GapDetector, LossDetector
from avseg.media.deinterlacing import Deinterlacer
from avseg.media.limits import DecoderMemory, check_pixels
from avseg.media.structure import ends_in_fragment_header, find_damage

#: FFmpeg's numbers of field orders, except the one of progressive video (1) and unknown (0).
INTERLACED_ORDERS = (2, 3, 4, 5)

#: Number of frames, and seconds, by which a video may end early without a warning; the larger one
#: applies. The average rate may be that of the clock (1000 Hz).
END_WARNING_FRAMES, END_WARNING_S = 4.5, 0.1


@dataclass(frozen=True)
class ShownFrame:
    """Decoded frame with the time span in which it is on screen.

    Args:
        frame: Frame as decoded. It is not converted to RGB yet, because most frames of a sparsely
            sampled video are never used.
        start_s: Presentation time, in seconds on the container's clock.
        end_s: Time at which the next frame replaces it or the video ends, in seconds.
    """

    frame: VideoFrame
    start_s: float
    end_s: float


class VideoTrack:
    """Video track of an open file, decoded once from start to end.

    Args:
        container: The open file. Nothing else may read packets from it.
        stream: The video stream to decode.
        origin: Path of the file, for messages.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, origin: str) -> None:
        self._container, self._stream, self._origin = container, stream, origin
        self._path = container.name.removeprefix("file:")
        self._packets = 0
        self._decoded = 0  # frames with a later time than the one before
        self._concealed = 0  # decoded frames that the decoder repaired after damage
        self._backward = 0  # frames whose time is not after that of the frame before
        self._untimed = 0  # frames without a timestamp
        self._refused_packets = 0  # packets that the decoder refused
        self._first_error: FFmpegError | None = None  # from the decoder or the container
        self._stream_end_s = self._file_end_s = -np.inf  # latest end of a packet
        self._gaps, self._losses = GapDetector(stream), LossDetector()
        self._deinterlacer = Deinterlacer()
        self._memory = DecoderMemory(stream.codec_context, origin)
        self._warnings: list[str] = []
        self._notes: list[str] = []  # what the conversion of the frames changes
        self._shown_start_s = self._shown_end_s = 0.0
        # AVI stores no presentation times, and FFmpeg's guesses are wrong for streams with
        # B-frames. Decoders return frames in presentation order, so the k-th frame gets the
        # decoding time of the k-th packet instead.
        self._use_decoding_times = container.format.name == "avi"
        self._decoding_times: deque[int | None] = deque()

    def shown_frames(self) -> Iterator[ShownFrame]:
        """Decode the frames in presentation order.

        Times come from the timestamps only, never from the frame rate, which may vary. A frame
        whose time is not after that of the previous frame cannot be shown and counts as missing.
        Damage does not stop the iteration; call `damage` after it.

        Yields:
            ShownFrame: Each frame with the time span in which it is on screen.

        Raises:
            VideoTooLargeError: If the frames, or those that the decoder holds, are too large.
        """
        # A frame ends when the next one starts, so one is kept back, in a list: a frame that was
        # yielded must not be held here, because that of 8K has 50 MB.
        pending: list[VideoFrame] = []
        pending_s = 0.0
        for frame in self._frames():
            time_s = self._time_s(frame)
            if time_s is None:
                self._untimed += 1
                continue
            if pending:
                if time_s <= pending_s:
                    self._backward += 1
                    continue
                yield ShownFrame(pending.pop(), pending_s, time_s)
            if not self._decoded:
                self._shown_start_s = time_s
                self._notes = conversion_notes(self._stream, frame)
            self._decoded += 1
            self._concealed += frame.is_corrupt
            pending.append(frame)
            pending_s = time_s
        if pending:
            self._shown_end_s = pending_s + self._last_duration_s(pending[0])
            yield ShownFrame(pending.pop(), pending_s, self._shown_end_s)

    @property
    def range_s(self) -> tuple[float, float]:
        """Start and end of the picture in seconds, after the last frame."""
        return self._shown_start_s, self._shown_end_s

    @property
    def interlaced(self) -> bool:
        """Whether a frame so far, or the container, is marked as interlaced."""
        return (
            self._deinterlacer.count > 0
            or self._stream.codec_context.field_order in INTERLACED_ORDERS
        )

    def damage(self) -> ClipError | None:
        """Compare the decoded frames with what the container announces.

        Call it after the last frame. Frames that the decoder repaired count as missing. Up to 3
        frames or 0.5 % may be missing (but never half of them), which is one of the `warnings`, and
        the file may end up to half a second early. Missing or damaged bytes in the structure of the
        file (`find_damage`) are a warning too. Any packet that the decoder refuses after its
        first frame is damage.

        Returns:
            None for a complete video; EmptyVideoError if it has no frames and announces none,
            NotAVideoError if the frames have no timestamps, TruncatedVideoError if the file ends
            before the announced time, CorruptVideoError if the file is complete but too many frames
            are missing.
        """
        announced = self._announced_count()
        if not self._packets and not announced:
            return EmptyVideoError(
                self._origin, "its video stream has no frames; pass a video that has some."
            )
        if self._untimed and not self._decoded:
            return NotAVideoError(
                self._origin,
                "is a raw stream, whose frames have no timestamps; store it in a container (mp4, "
                "mkv) first.",
            )
        counts = self._counts(announced)
        truncation = self._truncation(counts)
        if truncation is not None:
            return truncation
        missing = announced - (self._decoded - self._concealed)
        if not self._decoded or self._refused_packets or missing > tolerance_frames(announced):
            return CorruptVideoError(
                self._origin,
                f"the video stream is damaged: {counts}. Copy or download the file again, or "
                "re-encode it to keep the readable frames.",
            )
        self._warnings += self._tolerated(announced, missing, counts)
        return None

    def _tolerated(self, announced: int, missing: int, counts: str) -> list[str]:
        """Describe what may be a loss, but is no damage for certain."""
        warnings = [f"{counts}."] if missing > 0 else []
        start = self._losses.undecodable_start
        if start > tolerance_frames(announced):
            warnings.append(
                f"the first {start} frames cannot be decoded, as in a recording that was cut out "
                "of a stream."
            )
        announced_s, reached_s = self._ends_s()
        tolerance_s = max(END_WARNING_FRAMES / average_rate(self._stream), END_WARNING_S)
        if announced_s - reached_s > tolerance_s:
            warnings.append(f"the file ends early, at {reached_s:.2f} s of {announced_s:.2f} s.")
        finding = find_damage(self._path, self._container)
        if finding is not None:
            warnings.append(f"{finding}; frames or audio may be missing.")
        ticks = float(1 / self._stream.time_base) if self._stream.time_base else 0.0
        gaps_s = self._losses.unusual_gaps_s(ticks) if ticks else []
        if gaps_s:
            warnings.append(
                f"{len(gaps_s)} gap{'s' * (len(gaps_s) > 1)} between frames, up to {gaps_s[0]:.2f} "
                "s long: the picture stands still there, or frames are missing in the file."
            )
        return warnings

    def _counts(self, announced: int) -> str:
        """Describe how many frames were decoded, and why others were not."""
        counts = f"decoded {self._decoded} of {announced} announced frames"
        if self._concealed:
            counts += f", {self._concealed} of them damaged"
        if self._refused_packets:
            counts += f", {self._refused_packets} packets cannot be decoded"
        if self._backward:
            counts += f", the times of {self._backward} frames are not after the frame before"
        if self._first_error is not None:
            counts += f" ({self._first_error.strerror})"
        return counts

    def warnings(self) -> list[str]:
        """Describe losses that `damage` tolerates, and conversions; call it after `damage`."""
        interlaced = self._deinterlacer.count
        fields = f"{interlaced} interlaced frames are de-interlaced, in the overlay too."
        return [*self._warnings, *self._notes, *([fields] if interlaced else [])]

    def _frames(self) -> Iterator[VideoFrame]:
        """Decode every packet, then flush the frames that the decoder has buffered."""
        for packet in chain(self._video_packets(), [None]):
            for frame in self._decode(packet):
                self._memory.add(frame)
                yield from self._deinterlacer.add(frame)
        yield from self._deinterlacer.flush()

    def _video_packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the video packets; record the latest end of the packets of all streams."""
        try:
            for packet in packets_of(self._container, *self._container.streams):
                self._gaps.update(packet)
                end_s = packet_end_s(packet)
                if end_s is not None:
                    self._file_end_s = max(self._file_end_s, end_s)
                if packet.stream_index != self._stream.index:
                    continue
                if end_s is not None:
                    self._stream_end_s = max(self._stream_end_s, end_s)
                # Packets that an edit list hides are decoded, but give no frame.
                if not packet.is_discard:
                    self._packets += 1
                    if not self._use_decoding_times:
                        self._losses.add_packet(packet)
                if self._use_decoding_times:
                    self._decoding_times.append(packet.dts)
                yield cast("Packet[VideoStream]", packet)
        except FFmpegError as error:
            # The remaining packets cannot be read. `damage` reports how much video is missing.
            self._first_error = self._first_error or error

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except FFmpegError as error:
            # The size may change within the stream. The decoder refuses a frame that is too large.
            check_pixels(self._stream.codec_context, self._origin)
            if isinstance(error, MemoryError):
                raise
            # A recording cut between two key frames starts with packets that no decoder can use, so
            # errors before the first decoded frame are no damage.
            if self._decoded:
                self._refused_packets += 1
                self._first_error = self._first_error or error
            return []

    def _time_s(self, frame: VideoFrame) -> float | None:
        """Return the presentation time of a frame in seconds, or None if it has no timestamp."""
        # The time base of the stream: frames that come out of a flushed decoder have none.
        stamp = self._decoding_times.popleft() if self._decoding_times else frame.pts
        if stamp is None or not self._stream.time_base:
            return None
        if not self._use_decoding_times:
            self._losses.add_frame(stamp, float(1 / self._stream.time_base))
        return float(stamp * self._stream.time_base)

    def _last_duration_s(self, frame: VideoFrame) -> float:
        """Return how long the last frame stays on screen, in seconds."""
        if frame.duration and self._stream.time_base is not None:
            return float(frame.duration * self._stream.time_base)
        return 1 / average_rate(self._stream)

    def _announced_count(self) -> int:
        """Return the expected number of frames, at least the decoded ones."""
        announced = announced_frames(self._stream)
        if announced is None:
            # The index of a fragmented MP4 file is complete only after reading.
            announced = indexed_frames(self._stream) or 0
        lost = round(self._gaps.lost_s * average_rate(self._stream))
        lost = max(lost if not announced else 0, self._losses.lost_frames(), self._backward)
        # A packet gives one frame; in interlaced video two packets (fields) may give one.
        return max(announced, self._decoded + lost, self._packets // 2)

    def _truncation(self, counts: str) -> TruncatedVideoError | None:
        """Return an error if the file ends earlier than its container announces."""
        if ends_in_fragment_header(self._path):
            return TruncatedVideoError(
                self._origin,
                f"the file ends early, in the header of a fragment ({counts}). Copy or download it "
                "again, or re-encode it to keep the readable frames.",
            )
        announced_s, reached_s = self._ends_s()
        if announced_s - reached_s <= END_TOLERANCE_S:
            return None
        return TruncatedVideoError(
            self._origin,
            f"the file ends early, at {reached_s:.2f} s of {announced_s:.2f} s ({counts}). Copy or "
            f"download it again, or re-encode it to keep the first {reached_s:.2f} s.",
        )

    def _ends_s(self) -> tuple[float, float]:
        """Return the announced end and the end of the last packet, in seconds.

        They are those of the video stream if the container announces one, else of the whole file.
        """
        announced_s, reached_s = announced_end_s(self._stream), self._stream_end_s
        if announced_s is None:
            announced_s, reached_s = announced_file_end_s(self._container), self._file_end_s
        return announced_s or 0.0, max(reached_s, 0.0)


def average_rate(stream: VideoStream) -> float:
    """Return the average frame rate of a stream.

    Args:
        stream: The stream.

    Returns:
        Frames per second; 25 if neither the container nor the decoder knows.
    """
    return float(stream.average_rate or stream.guessed_rate or 25)


@dataclass(frozen=True)
class Orientation:
    """Axis swap and mirroring that turn a stored frame upright.

    Attributes:
        across: Step along the rows: 1, or -1 to mirror left to right.
        down: Step along the columns: 1, or -1 to mirror top to bottom.
        transposed: Whether rows and columns are swapped before that.
    """

    across: int
    down: int
    transposed: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the orientation of a frame from its display matrix.

        The matrix maps a stored point (x, y) to (ax + cy, bx + dy).

        Args:
            frame: Frame as decoded.

        Returns:
            Its orientation; the stored one if the frame has no display matrix.
        """
        # Not `frame.side_data`: it creates a reference cycle with the frame, so that the image
        # stays in memory until the garbage collector runs, hundreds of frames later.
        matrix = cast("Any", SideDataContainer)(frame).get("DISPLAYMATRIX")
        if matrix is None:
            return cls(1, 1, transposed=False)
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        # 16.16 fixed-point numbers; only their signs and which pair is nonzero matter here.
        transposed = abs(c) > abs(a)
        across, down = (c, b) if transposed else (a, d)
        return cls(-1 if across < 0 else 1, -1 if down < 0 else 1, transposed)

    @property
    def rotation(self) -> int:
        """Counter-clockwise rotation before left-to-right mirroring: 0, 90, 180 or 270 degrees."""
        if self.transposed:
            return 90 if self.down < 0 else 270
        return 180 if self.down < 0 else 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Convert (height, width) from stored to displayed orientation, or back."""
        return (width, height) if self.transposed else (height, width)

    def upright(self, stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn a stored plane or image upright.

        Args:
            stored: Stored plane or image, (H, W) or (H, W, C) uint8.

        Returns:
            View of it in display orientation, (H, W) or, if transposed, (W, H); C is unchanged.
        """
        swapped = stored.swapaxes(0, 1) if self.transposed else stored
        return swapped[:: self.down, :: self.across]


def to_rgb(frame: VideoFrame, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Convert a frame to RGB and turn it upright by its display matrix.

    The colour matrix and range are those that the frame declares, else BT.601 and limited. HDR and
    wide gamuts are converted to SDR (BT.709). An alpha channel is left out, so that transparent
    pixels have the colours that are stored for them. Non-square pixels are not resampled.

    Args:
        frame: Frame as decoded.
        size: Displayed (height, width) to resize to, for videos that change their size; None for
            the frame's own size.

    Returns:
        Displayed image, (H, W, 3) uint8 RGB in [0, 255].
    """
    orientation = Orientation.of(frame)
    height, width = size or orientation.size(frame.height, frame.width)
    stored_height, stored_width = orientation.size(height, width)
    rgb = stored_rgb(frame, stored_height, stored_width)
    # A copy, because `upright` returns a view with negative strides, which torch does not accept.
    return np.ascontiguousarray(orientation.upright(rgb))
