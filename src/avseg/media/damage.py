"""Detection of lost video frames in containers that do not announce a number of frames.

Matroska, WebM and MPEG-TS do not store how many frames they have. After damaged bytes their
demuxers search for the next valid packet and continue without an error, so that the time of the
video jumps. A jump alone may also be a still frame in a video of variable frame rate. It counts as
a gap only if bytes of the file are missing too (`GapDetector`).

Decoders skip frames that they cannot decode, some of them without an error. Such a frame has a
packet but no picture (`LossDetector`).
"""

from __future__ import annotations

import heapq
from collections import Counter, deque

from av.packet import Packet
from av.stream import Stream

from avseg.media.container import tolerance_frames

#: Longest jump in seconds that is never a gap.
JUMP_S = 0.5

#: Upper bounds of the container's own bytes: around each packet, in each second (the tables and
#: clocks of MPEG-TS need more), and in a header or an index between two packets. Only more bytes
#: than that are missing video data.
BYTES_PER_PACKET, BYTES_PER_SECOND, BYTES_BETWEEN = 256, 1000, 4096
MPEG_BYTES_PER_SECOND = 16_000

#: Number of video packets for which a mark of damage is remembered. MPEG-TS numbers its packets, so
#: FFmpeg notices a loss, but may mark a packet before or after the one at the jump.
CORRUPT_PACKETS = 8

#: The same for the time between a marked packet and a gap between two frames, in seconds.
CORRUPT_S = 1.0

#: A video has a constant frame rate if this share of its frames follow each other at one distance.
CONSTANT_SHARE = 0.9


class GapDetector:
    """Sums up the video time that is lost in gaps, from the packets of a file.

    Args:
        video: Video stream of the file.

    Attributes:
        lost_s: Total length of the gaps so far, in seconds.
    """

    def __init__(self, video: Stream) -> None:
        self._video_index = video.index
        mpeg = video.container.format.name in {"mpegts", "mpeg"}
        self._bytes_per_second = MPEG_BYTES_PER_SECOND if mpeg else BYTES_PER_SECOND
        # Position and size of the last video packet. Not the packet, which may have many bytes.
        self._last: tuple[int | None, int] | None = None
        self._latest_s = 0.0  # latest presentation time so far
        self._corrupt: deque[bool] = deque(maxlen=CORRUPT_PACKETS)
        self._bytes_since = 0  # known bytes since the last video packet
        self.lost_s = 0.0

    def update(self, packet: Packet[Stream]) -> None:
        """Process the next packet of the file.

        Args:
            packet: Packet of any stream, in file order.
        """
        if packet.stream_index == self._video_index:
            self._update_video(packet)
        self._bytes_since += packet.size + BYTES_PER_PACKET

    def _update_video(self, packet: Packet[Stream]) -> None:
        self._corrupt.append(packet.is_corrupt)
        # Presentation times first: if a file stores no decoding times, FFmpeg guesses them, and the
        # guesses jump a few packets late.
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        time_s = float(stamp * packet.time_base)
        if self._last is not None:
            jump_s = time_s - self._latest_s
            if jump_s > JUMP_S and self._lost_bytes(self._last, packet, jump_s):
                self.lost_s += jump_s
            time_s = max(time_s, self._latest_s)
        self._last, self._latest_s = (packet.pos, packet.size), time_s
        self._bytes_since = 0

    def _lost_bytes(
        self, before: tuple[int | None, int], after: Packet[Stream], jump_s: float
    ) -> bool:
        """Return whether bytes are missing between two consecutive video packets."""
        if any(self._corrupt):
            return True
        position, size = before
        if position is None or after.pos is None:
            return False
        # The size once more, because a packet may have side data of its own size, such as the
        # alpha channel of a WebM frame.
        known = self._bytes_since + size + BYTES_BETWEEN + jump_s * self._bytes_per_second
        return after.pos - position > known


class LossDetector:
    """Counts frames that have a packet but were not decoded, or that a damaged file has lost.

    Frames are decoded in presentation order. So a packet with an earlier time than a decoded frame,
    but later than the frame before, gave no frame. This is normal for the second field of a frame
    that is stored as two fields, and for invisible frames (VP8). Then the decoded frames still
    follow each other at the usual distance. Frames are lost only if there is a gap between two
    decoded frames, too.

    A gap is also a loss, without any packet in it, next to a packet that is marked as damaged.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []  # heap of the times of packets without a frame so far
        self._corrupt: deque[int] = deque()  # times of packets that are marked as damaged
        self._last: int | None = None  # time of the last decoded frame
        self._distances: Counter[int] = Counter()  # between two decoded frames
        #: How often there is a distance with a number of packets in it that gave no frame; None for
        #: a distance next to a damaged packet.
        self._gaps: Counter[tuple[int, int | None]] = Counter()
        self.undecodable_start = 0

    def add_packet(self, packet: Packet[Stream]) -> None:
        """Process the next video packet.

        Args:
            packet: A packet with a frame that should be shown, in file order.
        """
        if packet.pts is None:
            return
        heapq.heappush(self._waiting, packet.pts)
        if packet.is_corrupt:
            self._corrupt.append(packet.pts)

    def add_frame(self, time: int, ticks_per_second: float) -> None:
        """Process the next decoded frame.

        Args:
            time: Presentation time of the frame, in ticks of the stream.
            ticks_per_second: Number of ticks in a second.
        """
        unused = -1  # the frame has a packet of its own
        while self._waiting and self._waiting[0] <= time:
            heapq.heappop(self._waiting)
            unused += 1
        unused = max(unused, 0)
        if self._last is None:
            self.undecodable_start = unused
        elif time > self._last:
            self._distances[time - self._last] += 1
            near = CORRUPT_S * ticks_per_second
            while self._corrupt and self._corrupt[0] < self._last - near:
                self._corrupt.popleft()
            damaged = any(stamp <= time + near for stamp in self._corrupt)
            if damaged or unused:
                self._gaps[time - self._last, None if damaged else unused] += 1
        self._last = time

    def lost_frames(self) -> int:
        """Estimate how many frames were lost after the first decoded one; call it at the end."""
        if self._last is None or not self._distances:
            return 0
        usual, lost = self._usual_distance(), 0
        for (distance, unused), count in self._gaps.items():
            missing = round(distance / usual) - 1
            lost += count * (missing if unused is None else min(missing, unused))
        # Packets after the last decoded frame. A second field is less than a frame later.
        later = [time for time in self._waiting if time > self._last]
        if later:
            lost += min(len(later), round((max(later) - self._last) / usual - 0.1))
        return lost

    def unusual_gaps_s(self, ticks_per_second: float) -> list[float]:
        """Return the lengths of the gaps in a video of constant frame rate, in seconds.

        Such a gap may be a still picture, or frames that are lost together with their packets.

        Args:
            ticks_per_second: Number of ticks in a second.

        Returns:
            Lengths, the longest first; empty for a variable frame rate, and if no more frames are
            missing than are tolerated.
        """
        total = self._distances.total()
        usual = self._usual_distance()
        near = sum(count for gap, count in self._distances.items() if abs(gap - usual) < usual / 4)
        if not total or near < CONSTANT_SHARE * total:
            return []
        gaps = [gap for gap in self._distances.elements() if round(gap / usual) > 1]
        if sum(round(gap / usual) - 1 for gap in gaps) <= tolerance_frames(total):
            return []
        return [gap / ticks_per_second for gap in sorted(gaps, reverse=True)]

    def _usual_distance(self) -> int:
        """Return the most common distance between two frames, in ticks; 1 without frames."""
        return self._distances.most_common(1)[0][0] if self._distances else 1
