"""Open a media file, choose its picture and its sound track, and know how much they promise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from avseg.errors import (
    EmptyVideoError,
    NotAVideoError,
    NoVideoStreamError,
    TruncatedVideoError,
)

PathLike = str | os.PathLike[str]

#: What FFmpeg makes of text: an "ANSI art" video, or a list of other files and addresses to open.
TEXT_FORMATS = frozenset({"tty", "hls", "dash", "concat", "imf"})

#: Video streams that are pictures about the file, not its picture.
NOT_THE_PICTURE = Disposition.attached_pic | Disposition.timed_thumbnails

#: Boxes that an MP4 or QuickTime file begins with.
MP4_FIRST_BOXES = frozenset({b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"})

#: How many frames may be missing before a picture counts as damaged: this many or this share,
#: whichever is more. Containers are often off by a few, as where a cut has left frames without
#: those that they are predicted from.
FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE = 3, 0.005

#: By how many seconds a stream may end early: a last frame without a duration makes its end vague.
END_TOLERANCE_S = 0.5


@contextmanager
def open_media(path: PathLike) -> Iterator[InputContainer]:
    """Open a local media file for reading.

    A path without a file is a `NotAVideoError` too, a file without bytes an `EmptyVideoError`.

    Args:
        path: The file. Addresses are not opened.

    Yields:
        InputContainer: The open file, closed at the end.

    Raises:
        NotAVideoError: If it is not a media file.
        TruncatedVideoError: If it ends before its first frame, or is an MP4 or QuickTime file
            without a readable index.
    """
    _check_file(path)
    origin = os.fspath(path)
    try:
        # "file:" keeps FFmpeg from taking a name such as "take:2.mp4" for an address. Titles in old
        # encodings must not stop us.
        container = av.open(f"file:{origin}", metadata_errors="replace")
    except FFmpegError as error:
        if isinstance(error, EOFError):
            raise TruncatedVideoError(
                origin, "the file ends before its first frame; copy or download it again."
            ) from error
        if _begins_like_mp4(path):
            raise TruncatedVideoError(
                origin,
                "begins like an MP4 or QuickTime file, but has no readable index (moov): it was "
                "cut off, or its index is damaged; copy or download it again, or recover it with a "
                "tool made for that.",
            ) from error
        raise NotAVideoError(
            origin, f"cannot be opened as a media file ({error.strerror}); give a video file."
        ) from error
    with container:
        if TEXT_FORMATS.intersection(container.format.name.split(",")):
            raise NotAVideoError(
                origin,
                f"is a text file (FFmpeg takes it for {container.format.name!r}); "
                "give a video file.",
            )
        yield container


def choose_video_stream(container: InputContainer, origin: str) -> VideoStream:
    """Choose the stream a player would show.

    Args:
        container: The open file.
        origin: Its name, for messages.

    Returns:
        FFmpeg's best video stream, set to decode with several threads.

    Raises:
        NoVideoStreamError: If there is none, or only cover art, or no decoder for it.
    """
    streams = [s for s in container.streams.video if not s.disposition & NOT_THE_PICTURE]
    best = container.streams.best("video")
    # Streams that this build of FFmpeg cannot decode have no codec context.
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        kinds = sorted({str(s.type) for s in container.streams}) or ["no"]
        why = "it has no decoder here" if streams else f"it has {', '.join(kinds)} streams only"
        raise NoVideoStreamError(origin, f"has no picture to segment ({why}); give a video.")
    stream = next(
        (s for s in decodable if best is not None and s.index == best.index), decodable[0]
    )
    stream.thread_type = "AUTO"
    return stream


def choose_audio_stream(container: InputContainer, video: VideoStream) -> AudioStream | None:
    """Choose the sound track a player would play with the picture.

    Args:
        container: The open file.
        video: The chosen picture.

    Returns:
        FFmpeg's best audio stream beside that picture, None if none can be decoded.
    """
    decodable = [s for s in container.streams.audio if s.codec_context is not None]
    best = container.streams.best("audio", video)
    return next(
        (s for s in decodable if best is not None and s.index == best.index),
        decodable[0] if decodable else None,
    )


def promised_end_s(stream: Stream) -> float | None:
    """Say when a stream ends, on the container's clock, if its container knows.

    Args:
        stream: The stream.

    Returns:
        Seconds, or None: then `promised_file_end_s` may know about the longest stream.
    """
    if stream.duration is None or stream.time_base is None:
        return None
    length = stream.duration
    if _is_avi(stream) and isinstance(stream, VideoStream):
        # FFmpeg shortens the duration of a file that was cut off; the header has a tick per frame.
        length = max(length, stream.frames)
    return float(((stream.start_time or 0) + length) * stream.time_base)


def promised_file_end_s(container: InputContainer) -> float | None:
    """Say how long the whole file is, in seconds, if its container knows.

    Args:
        container: The open file.

    Returns:
        The length of its longest stream. Some formats (Matroska) count it from time 0, others from
        the first packet; it is never later than the end of the file on the container's clock.
    """
    return None if container.duration is None else container.duration / av.time_base


def promised_frames(stream: VideoStream) -> int | None:
    """Say how many frames a video stream should decode to, if its container knows.

    Args:
        stream: The stream.

    Returns:
        The container's count, less those that an edit list hides and those without data (AVI fills
        pauses with them).
    """
    if not stream.frames:
        return None
    shown = sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)
    return min(stream.frames, shown) if shown else stream.frames


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """Read the packets of some streams to the end of the file.

    Args:
        container: The open file.
        *streams: Of that file.

    Yields:
        Packet[Stream]: Each packet that holds data, in file order.
    """
    # At the end PyAV 18 adds an empty packet for each stream, and raises IndexError where streams
    # appeared on the way (MPEG-TS). By then everything is read, and we flush decoders ourselves.
    with suppress(IndexError):
        for packet in container.demux(*streams):
            if packet.size:
                yield packet


def packet_end_s(packet: Packet[Stream]) -> float | None:
    """Say when what a packet holds ends, on the container's clock.

    Args:
        packet: Of any stream.

    Returns:
        Seconds, or None where the packet has no time.
    """
    begin = packet.dts if packet.pts is None else packet.pts
    if begin is None or packet.time_base is None:
        return None
    return float((begin + (packet.duration or 0)) * packet.time_base)


def tolerance_frames(count: int) -> float:
    """Say by how many frames a picture of this many frames may fall short.

    Args:
        count: Promised frames.

    Returns:
        Frames; always less than half of them, so that short videos are checked too.
    """
    return min(max(FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE * count), count / 2)


def _check_file(path: PathLike) -> None:
    """Refuse what is not a file with bytes in it."""
    origin, file = os.fspath(path), Path(path)
    if file.is_dir():
        raise NotAVideoError(origin, "is a folder; give a video file.")
    if not file.is_file():
        raise NotAVideoError(origin, "there is no such file; check the path.")
    if file.stat().st_size == 0:
        raise EmptyVideoError(origin, "the file has no bytes; copy or download it again.")


def _is_avi(stream: Stream) -> bool:
    return stream.container.format.name == "avi"


def _begins_like_mp4(path: PathLike) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] in MP4_FIRST_BOXES
