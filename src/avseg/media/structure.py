"""Byte structure of media files, checked for parts that are missing or damaged.

Demuxers are built for streams that may begin and end anywhere. They skip bytes that they do not
recognise, and treat any end of the file as the end of the video. So lost frames may leave no trace
in the packets. Containers have a structure of their own, in which a loss does leave one: sizes that
lead from one element to the next, numbers of pages, and marks of the end.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer

PathLike = str | os.PathLike[str]

#: Sizes of the packets of MPEG-TS files: plain, with a time (M2TS), and with error correction.
TS_PACKET_BYTES = (188, 192, 204)
#: Number of bytes at the end of an MPEG-TS file in which the last unit of each stream is searched.
_TS_TAIL_BYTES = 2**20

#: Identifiers of Matroska elements (RFC 9559). Only the contents of segments and clusters are
#: checked. The others are skipped.
_SEGMENT, _CLUSTER, _EBML = 0x18538067, 0x1F43B675, 0x1A45DFA3
_TOP_ELEMENTS = frozenset(
    {
        *(_SEGMENT, _CLUSTER, _EBML, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469),
        *(0x1043A770, 0x1254C367),
    }
)
_SMALL_ELEMENTS = frozenset({0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF})

#: Types of the tags of FLV files: audio, video and data.
_FLV_TAGS = frozenset({8, 9, 18})

#: Flag of the last page of an Ogg stream (RFC 3533).
_OGG_END = 4
#: Each byte with its bits in reverse order.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_damage(path: PathLike, container: InputContainer) -> str | None:
    """Return what is missing or damaged in the structure of a file.

    Args:
        path: Path of the file.
        container: The open file, of which the format and the identifiers of its streams are read.

    Returns:
        The first finding, as a part of a sentence; None for an intact file, and for a format whose
        structure is not checked.
    """
    name = container.format.name.split(",")[0]
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        if name == "mpegts":
            return _check_ts(file, size, {stream.id for stream in container.streams})
        check = _CHECKS.get(name)
        return None if check is None else check(file, size)


def ends_in_fragment_header(path: PathLike) -> bool:
    """Return whether an MP4 file was cut off within the header of a fragment.

    The frames of such a fragment are in no index, so nothing else announces them.

    Args:
        path: Path of the file; it may have any other format.

    Returns:
        True if its last box is an incomplete "moof" box.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        boxes = list(_boxes(file, size))
    return bool(boxes) and boxes[-1][1] == b"moof" and boxes[-1][0] > size


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the end and type of the boxes of an MP4 file, up to one that is damaged."""
    position = 0
    while position + 8 <= size:
        head = _read(file, position, 16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if not kind.isalnum():  # another format, or damaged
            return
        if length == 1:  # a 64-bit length follows
            length = int.from_bytes(head[8:16])
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8:
            return
        yield position + length, kind
        position += length


def _check_mp4(file: BinaryIO, size: int) -> str | None:
    """Check fragments; without any, the index at one place announces all frames."""
    boxes = list(_boxes(file, size))
    kinds = {kind for _, kind in boxes}
    if b"moof" not in kinds:
        return None
    end = boxes[-1][0]
    if end != size:
        return _unreadable(end) if end < size else "the file ends within a fragment"
    # The marks of a segment (CMAF, DASH) and its index: such files have no index at their end.
    if kinds.isdisjoint({b"mfra", b"styp", b"sidx"}):
        return "the file has no index of its fragments, which is written when a recording ends"
    return None


def _check_matroska(file: BinaryIO, size: int) -> str | None:
    """Walk over the elements of segments and clusters, which must fill each other completely."""
    position, cluster_end, segment_end = 0, None, None
    while position < size:
        kind, begin, end = _element(file, position)
        if position == segment_end and kind != _EBML:
            return None  # bytes after the end
        is_top = kind in _TOP_ELEMENTS
        known = is_top or kind in _SMALL_ELEMENTS or _may_be_skipped(file, size, kind, end)
        if not known or (is_top and cluster_end not in (None, position)):
            return _unreadable(position)
        if kind == _SEGMENT and end is not None and end > size:
            return f"the file has {size} of the {end} bytes that it announces"
        segment_end = end if kind == _SEGMENT else segment_end
        if is_top:
            cluster_end = end if kind == _CLUSTER else None
        # An element of unknown size contains others, and is entered.
        position = begin if kind in (_SEGMENT, _CLUSTER) or end is None else end
        if cluster_end is not None and position > cluster_end:
            return _unreadable(cluster_end)
    return None if position == size else "the file ends within a block"


def _may_be_skipped(file: BinaryIO, size: int, kind: int, end: int | None) -> bool:
    """Return whether a known element follows one of an unknown kind, which is a small one."""
    if kind >= 2**24 or end is None:
        return False
    return end == size or _element(file, end)[0] in _TOP_ELEMENTS | _SMALL_ELEMENTS


def _element(file: BinaryIO, position: int) -> tuple[int, int, int | None]:
    """Read the identifier of a Matroska element, and the begin and end of its contents.

    The identifier is 0 for bytes that are none, the end None for an unknown size.
    """
    head = _read(file, position, 12).ljust(12, b"\0")
    id_length = 9 - head[0].bit_length()
    if id_length > 4:
        return 0, position, None
    size_length = 9 - head[id_length].bit_length()
    begin = position + id_length + size_length
    value = int.from_bytes(head[id_length : id_length + size_length])
    value &= (1 << 7 * size_length) - 1
    known = size_length <= 8 and value != (1 << 7 * size_length) - 1
    return int.from_bytes(head[:id_length]), begin, begin + value if known else None


def _check_ogg(file: BinaryIO, size: int) -> str | None:
    """Walk over the pages, which are numbered in each stream, and of which the last is marked."""
    position, numbers, ended = 0, dict[bytes, int](), dict[bytes, bool]()
    while position < size:
        head = _read(file, position, 27)
        if len(head) < 27 or head[:4] != b"OggS":
            return _unreadable(position)
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        if number != numbers.get(stream, -1) + 1 and stream in numbers:
            return f"pages are missing before byte {position}"
        numbers[stream], ended[stream] = number, bool(head[5] & _OGG_END)
        lengths = _read(file, position + 27, head[26])
        rest = _read(file, position + 27, head[26] + sum(lengths))
        begin, position = position, position + 27 + head[26] + sum(lengths)
        checksum = _ogg_checksum(head[:22] + bytes(4) + head[26:] + rest)
        if position <= size and checksum != head[22:26]:
            return f"the page at byte {begin} is damaged"
    if position > size:
        return "the file ends within a page"
    return None if all(ended.values()) else "the mark of the end of a stream is missing"


def _ogg_checksum(page: bytes) -> bytes:
    """Compute the checksum of a page, whose own checksum is set to zero.

    Ogg and zlib have the same polynomial, but the reverse order of bits, and other constants before
    and after.
    """
    checksum = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return checksum.to_bytes(4).translate(_REVERSED)


def _check_flv(file: BinaryIO, size: int) -> str | None:
    """Walk over the tags, of which each ends with its own length."""
    position = int.from_bytes(_read(file, 5, 4)) + 4
    while position < size:
        head = _read(file, position, 11)
        if len(head) < 11 or head[0] & 0x1F not in _FLV_TAGS or any(head[8:11]):
            return _unreadable(position)
        position += 11 + int.from_bytes(head[1:4]) + 4
    # Some programs do not write the length of the last tag.
    return None if position in (size, size + 4) else "the file ends within a packet"


def _check_avi(file: BinaryIO, size: int) -> str | None:
    """Walk over the chunks, into the lists that contain the frames."""
    position = 0
    while position + 8 <= size:
        head = _read(file, position, 12)
        kind, length = head[:4], int.from_bytes(head[4:8], "little")
        end = position + 8 + length + length % 2
        if not (kind.isascii() and kind.decode("ascii", "replace").isprintable()):
            return _unreadable(position)
        if kind == b"RIFF" and end > size:
            return f"the file has {size} of the {end} bytes that it announces"
        into = kind == b"RIFF" or (kind == b"LIST" and head[8:] in (b"movi", b"rec "))
        position = position + 12 if into else end
    return None if position <= size else "the file ends within a frame"


def _check_ts(file: BinaryIO, size: int, streams: set[int]) -> str | None:
    """Check that the last unit (a frame, or several of audio) of each stream is complete.

    A unit begins at the begin of a packet, so that its last packet is filled up, unless it has
    exactly the right length.
    """
    unit = next((unit for unit in TS_PACKET_BYTES if size % unit == 0), None)
    if unit is None:
        return "the file ends within a packet"
    offset = 4 if unit == 192 else 0  # the time of a packet of M2TS comes first
    begin = max(0, size - _TS_TAIL_BYTES) // unit * unit
    tail = _read(file, begin, size - begin)
    found: dict[int, tuple[int, bool]] = {}  # bytes of the last unit that are missing; filled up
    for at in range(offset, len(tail), unit):
        packet = tail[at : at + 188]
        stream = int.from_bytes(packet[1:3]) & 0x1FFF
        if packet[0] != 0x47 or stream not in streams or not packet[3] & 0x10:
            continue
        filled = bool(packet[3] & 0x20)
        payload = packet[5 + packet[4] if filled else 4 :]
        if packet[1] & 0x40:  # a unit begins
            length = int.from_bytes(payload[4:6])
            found[stream] = (length + 6 if length else 2**32) - len(payload), filled
        elif stream in found:
            found[stream] = found[stream][0] - len(payload), filled
    if any(missing > 0 and not (missing > 2**31 and filled) for missing, filled in found.values()):
        return "the file ends within a frame"
    return None


def _unreadable(position: int) -> str:
    return f"the bytes at {position} are damaged, or some before them are missing"


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


#: Checks by FFmpeg's first name of the format.
_CHECKS: dict[str, Callable[[BinaryIO, int], str | None]] = {
    "matroska": _check_matroska,
    "ogg": _check_ogg,
    "flv": _check_flv,
    "avi": _check_avi,
    "mov": _check_mp4,
}
