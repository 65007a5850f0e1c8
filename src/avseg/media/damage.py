"""Detection of lost video data in containers that do not announce a number of frames.

Matroska, WebM and MPEG-TS do not store how many frames they have. After damaged bytes their
demuxers search for the next valid packet and continue without an error, so that the time of the
video jumps. A jump alone may also be a still frame in a video of variable frame rate. It counts as
a gap only if bytes of the file are missing too.
"""

from __future__ import annotations

from av.packet import Packet
from av.stream import Stream

#: Longest jump in seconds that is never a gap.
JUMP_S = 0.5

#: Upper bounds of the container's own bytes: around each packet, in each second (the tables of
#: MPEG-TS), and in a header or an index between two packets. Only more bytes than that are missing
#: video data.
BYTES_PER_PACKET, BYTES_PER_SECOND, BYTES_BETWEEN = 256, 10_000, 4096


class GapDetector:
    """Sums up the video time that is lost in gaps, from the packets of a file.

    Args:
        video: Video stream of the file.

    Attributes:
        lost_s: Total length of the gaps so far, in seconds.
    """

    def __init__(self, video: Stream) -> None:
        self._video_index = video.index
        self._last: Packet[Stream] | None = None
        self._latest_s = 0.0  # latest presentation time so far
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
        self._last, self._latest_s, self._bytes_since = packet, time_s, 0

    def _lost_bytes(self, before: Packet[Stream], after: Packet[Stream], jump_s: float) -> bool:
        """Return whether bytes are missing between two consecutive video packets."""
        if before.is_corrupt or after.is_corrupt:  # MPEG-TS numbers its packets and notices a loss
            return True
        if before.pos is None or after.pos is None:
            return False
        # `before.size` once more, because a packet may have side data of its own size, such as the
        # alpha channel of a WebM frame.
        known = self._bytes_since + before.size + BYTES_BETWEEN + jump_s * BYTES_PER_SECOND
        return after.pos - before.pos > known
