"""Find the stretches of a file whose picture was lost, where the container does not count frames.

Matroska, WebM and MPEG-TS do not say how many frames they hold. After damaged bytes their readers
look for the next packet that makes sense and go on without a word: the picture's time jumps. A jump
alone may be a still picture in a video of variable frame rate; it is a hole if bytes of the file
went missing with it.
"""

from __future__ import annotations

from av.packet import Packet
from av.stream import Stream

#: Jumps up to this many seconds are not looked at.
JUMP_S = 0.5

#: Bytes that containers spend at most around each packet, in each second (the tables of MPEG-TS),
#: and on a head or an index between two packets.
BYTES_PER_PACKET, BYTES_PER_SECOND, BYTES_BETWEEN = 256, 10_000, 4096


class HoleFinder:
    """Follow the packets of all streams of a file, and add up the time lost in holes.

    Args:
        picture: Its video stream.
    """

    def __init__(self, picture: Stream) -> None:
        self._picture_index = picture.index
        self._last: Packet[Stream] | None = None
        self._shown_s = 0.0  # the latest time of the picture so far
        self._bytes_since = 0  # since the last packet of the picture
        self.lost_s = 0.0

    def follow(self, packet: Packet[Stream]) -> None:
        """Take account of the next packet in the file.

        Args:
            packet: Of any stream.
        """
        if packet.stream_index == self._picture_index:
            self._follow_picture(packet)
        self._bytes_since += packet.size + BYTES_PER_PACKET

    def _follow_picture(self, packet: Packet[Stream]) -> None:
        # Not decoding times: where a file has none, what FFmpeg guesses jumps a few packets late.
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        time_s = float(stamp * packet.time_base)
        if self._last is not None:
            jump_s = time_s - self._shown_s
            if jump_s > JUMP_S and self._lost_bytes(self._last, packet, jump_s):
                self.lost_s += jump_s
            time_s = max(time_s, self._shown_s)
        self._last, self._shown_s, self._bytes_since = packet, time_s, 0

    def _lost_bytes(self, before: Packet[Stream], after: Packet[Stream], jump_s: float) -> bool:
        """Tell whether bytes went missing between two packets of the picture."""
        if before.is_corrupt or after.is_corrupt:  # MPEG-TS counts its packets
            return True
        if before.pos is None or after.pos is None:
            return False
        # A packet may have as much again beside it, such as the transparency of a WebM picture.
        known = self._bytes_since + before.size + BYTES_BETWEEN + jump_s * BYTES_PER_SECOND
        return after.pos - before.pos > known
