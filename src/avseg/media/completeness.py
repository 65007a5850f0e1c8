"""Completeness of files whose missing bytes FFmpeg does not notice: GIF and ASF (WMV).

FFmpeg reads a GIF up to any end and searches the next picture after damaged bytes, and it forgets
the announced length of an ASF file that has another size than its header says. Both would be read
as intact, shorter videos.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from avseg.errors import CorruptVideoError, TruncatedVideoError

#: GUID of the object with the properties of an ASF file, the place of the file's size in this
#: object, that of its flags, and the flag of a live recording, whose size is not known (ASF
#: specification 1.20, section 3.2).
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_SIZE_AT, _ASF_FLAGS_AT, _ASF_LIVE = 40, 88, 1
#: Number of bytes at the beginning of an ASF file in which the object is searched.
_ASF_HEADER_BYTES = 2**16

#: Kinds of blocks in a GIF (GIF89a specification): a picture, an extension, the end of the file.
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = b",", b"!", b";"
_GIF_HEADER_BYTES = 13


def check_completeness(path: str | os.PathLike[str], format_name: str) -> None:
    """Raise an error if bytes of a GIF or ASF file are missing.

    Args:
        path: Path of the file.
        format_name: FFmpeg's name of its format; a file of another format is not read.

    Raises:
        CorruptVideoError: If the blocks of a GIF do not follow each other.
        TruncatedVideoError: If the file is shorter than it should be.
    """
    if format_name == "asf":
        _check_asf(Path(path))
    elif format_name == "gif":
        with Path(path).open("rb") as file:
            _check_gif(file, os.fspath(path))


def _check_asf(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_ASF_HEADER_BYTES)
    begin = header.find(_ASF_PROPERTIES)
    properties = header[begin : begin + _ASF_FLAGS_AT + 4]
    if begin < 0 or len(properties) < _ASF_FLAGS_AT + 4 or properties[_ASF_FLAGS_AT] & _ASF_LIVE:
        return
    announced = int.from_bytes(properties[_ASF_SIZE_AT : _ASF_SIZE_AT + 8], "little")
    size = path.stat().st_size
    if size < announced:
        raise TruncatedVideoError(
            str(path),
            f"has {size} of the {announced} bytes that its header announces; copy or download the "
            "file again, or re-encode it to keep the readable part.",
        )


def _check_gif(file: BinaryIO, origin: str) -> None:
    """Read the structure of a GIF from block to block, up to the mark of its end."""
    header = file.read(_GIF_HEADER_BYTES)
    _skip_colours(file, header[-3])
    while (kind := file.read(1)) != _GIF_END:
        if kind == b"":
            raise TruncatedVideoError(
                origin,
                "ends without the mark of the end of a GIF; copy or download the file again, or "
                "re-encode it to keep the readable part.",
            )
        if kind == _GIF_EXTENSION:
            file.seek(1, os.SEEK_CUR)  # its label
            _skip_parts(file)
        elif kind != _GIF_IMAGE or not _skip_picture(file):
            raise CorruptVideoError(
                origin,
                f"is damaged before byte {file.tell()}: the blocks of the GIF do not follow each "
                "other; copy or download the file again, or re-encode it to keep the readable "
                "part.",
            )


def _skip_picture(file: BinaryIO) -> bool:
    """Skip a picture, and return whether all parts of its data except the last have one size.

    Encoders fill every part. After lost bytes, others are read as the length of a part.
    """
    place = file.read(9)
    _skip_colours(file, place[-1] if place else 0)
    file.seek(1, os.SEEK_CUR)  # size of the codes
    lengths = _skip_parts(file)
    return len(set(lengths[:-1])) <= 1


def _skip_parts(file: BinaryIO) -> list[int]:
    """Skip the parts of a block up to the empty one, and return their lengths."""
    lengths: list[int] = []
    while (length := file.read(1)) not in (b"", b"\0"):
        lengths.append(length[0])
        file.seek(length[0], os.SEEK_CUR)
    return lengths


def _skip_colours(file: BinaryIO, flags: int) -> None:
    """Skip a table of colours, if the flags announce one."""
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), os.SEEK_CUR)
