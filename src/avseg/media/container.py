"""Media files: opening them, choosing streams, and reading how much their containers announce.

The announced values are compared later with what was decoded, to detect damaged files.
"""

from __future__ import annotations

import os
import re
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
    CorruptVideoError,
    EmptyVideoError,
    NotAVideoError,
    NoVideoStreamError,
    OutOfMemoryError,
    TruncatedVideoError,
)
from avseg.heartbeat import beat
from avseg.media.completeness import check_completeness
from avseg.media.limits import (
    limit_audio_decoder,
    limit_blocks,
    limit_video_decoder,
    video_options,
)

PathLike = str | os.PathLike[str]

#: Beginning of a URL. Names of one letter are drives of Windows.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+")

#: Formats that FFmpeg detects in text files: it would render the text as an "ANSI art" video, or
#: open the other files and addresses that the text lists. Both are refused.
TEXT_FORMATS = frozenset({"tty", "hls", "dash", "concat", "imf"})

#: Marks of video streams that are cover art or thumbnails, not the video itself.
COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails

#: Types of the boxes that an MP4 or QuickTime file can begin with.
MP4_FIRST_BOXES = frozenset({b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"})

#: Formats that do not store the length of a stream. FFmpeg gives the length of the whole file to
#: streams for which it finds none within a few packets, such as the picture of a slide show.
_FILE_LENGTH_ONLY = frozenset({"matroska", "flv", "mpegts"})

#: Number and share of frames that may be missing before a video counts as damaged; the larger one
#: applies. Containers of intact files are often off by a few frames, for instance after a cut that
#: removed the frames that others are predicted from.
FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE = 3, 0.005

#: Seconds by which a stream may end early. A last frame without a duration makes the end uncertain.
END_TOLERANCE_S = 0.5


@contextmanager
def open_media(path: PathLike) -> Iterator[InputContainer]:
    """Open a local media file for reading.

    Args:
        path: Path of the file. URLs are not opened.

    Yields:
        InputContainer: The open file, which is closed at the end of the block.

    Raises:
        NotAVideoError: If the path does not exist or is not a media file.
        EmptyVideoError: If the file has no bytes.
        CorruptVideoError: If it is a GIF whose blocks do not follow each other.
        TruncatedVideoError: If it ends before its first frame, is an MP4 or QuickTime file without
            a readable index, or a GIF or ASF file without its end.
    """
    _check_file(path)
    origin = os.fspath(path)
    limit_blocks()
    try:
        # "file:" keeps FFmpeg from reading a name such as "take:2.mp4" as a URL. "replace" because
        # a title in an old text encoding is no reason to refuse a video.
        container = av.open(f"file:{origin}", metadata_errors="replace", options=video_options())
    except FFmpegError as error:
        # FFmpeg reports a file without any frame as end of file.
        if isinstance(error, EOFError):
            raise TruncatedVideoError(
                origin, "the file ends before its first frame. Copy or download it again."
            ) from error
        if _begins_like_mp4(path):
            raise TruncatedVideoError(
                origin,
                "begins like an MP4 or QuickTime file, but has no readable index (moov): it was "
                "cut off, or the index is damaged. Copy or download it again, or recover it with a "
                "repair tool.",
            ) from error
        raise NotAVideoError(
            origin,
            f"cannot be opened as a media file ({error.strerror}); pass a video or audio file.",
        ) from error
    with container:
        if TEXT_FORMATS.intersection(container.format.name.split(",")):
            raise NotAVideoError(
                origin,
                f"is a text file (FFmpeg detects the format {container.format.name!r}); "
                "pass a video file.",
            )
        check_completeness(path, container.format.name)
        yield container


@contextmanager
def damage_as_clip_error(origin: str) -> Iterator[None]:
    """Raise an error of reading as the error of its file.

    Damaged headers lead to seeks that FFmpeg refuses, divisions by zero, and times that overflow.

    Args:
        origin: Path of the file, for messages.

    Yields:
        None: The block in which the file is read.

    Raises:
        OutOfMemoryError: Instead of a MemoryError.
        CorruptVideoError: Instead of another error.
    """
    try:
        yield
    except MemoryError as error:  # one of FFmpeg is both
        raise OutOfMemoryError(
            f"{origin}: the memory does not suffice to read it ({explain(error)}). Close other "
            "programs, or scale the video down first."
        ) from error
    except (FFmpegError, ArithmeticError, ValueError, IndexError) as error:
        raise CorruptVideoError(
            origin,
            f"the file is damaged: it cannot be read ({explain(error)}). Copy or download it "
            "again, or re-encode it.",
        ) from error


def explain(error: Exception) -> str:
    """Return the reason of an error of reading in a few words.

    Args:
        error: The error.

    Returns:
        Text for a message, without a full stop; the name of the class if the error has no text.
    """
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).rstrip(".")


def choose_video_stream(container: InputContainer, origin: str) -> VideoStream:
    """Choose the video stream that a player would show.

    Args:
        container: The open file.
        origin: Path of the file, for messages.

    Returns:
        FFmpeg's best video stream, set to decode with several threads and bounded memory.

    Raises:
        NoVideoStreamError: If the file has no video stream except cover art, or no decoder for it.
        VideoTooLargeError: If its frames have too many pixels.
    """
    streams = [s for s in container.streams.video if not s.disposition & COVER_ART]
    # FFmpeg's choice among several streams (default flag, bit rate), much like that of players.
    best = container.streams.best("video")
    # Streams that this build of FFmpeg cannot decode have no codec context.
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        kinds = sorted({str(s.type) for s in container.streams}) or ["no"]
        why = "no decoder for it" if streams else f"it has {', '.join(kinds)} streams only"
        raise NoVideoStreamError(origin, f"has no video stream to segment ({why}); pass a video.")
    stream = next(
        (s for s in decodable if best is not None and s.index == best.index), decodable[0]
    )
    limit_video_decoder(stream.codec_context, origin)
    return stream


def choose_audio_stream(container: InputContainer, video: VideoStream) -> AudioStream | None:
    """Choose the audio stream that a player would play with a video stream.

    Args:
        container: The open file.
        video: The chosen video stream.

    Returns:
        FFmpeg's best audio stream for that video stream, or None if none can be decoded.
    """
    decodable = [s for s in container.streams.audio if s.codec_context is not None]
    best = container.streams.best("audio", video)
    stream = next(
        (s for s in decodable if best is not None and s.index == best.index),
        decodable[0] if decodable else None,
    )
    if stream is not None:
        limit_audio_decoder(stream.codec_context)
    return stream


def announced_end_s(stream: Stream) -> float | None:
    """Return the time at which a stream should end, on the container's clock.

    Args:
        stream: The stream.

    Returns:
        Time in seconds, or None if the container does not announce it for this stream;
        `announced_file_end_s` may then have it for the longest stream.
    """
    if stream.duration is None or stream.time_base is None:
        return None
    if _FILE_LENGTH_ONLY.intersection(stream.container.format.name.split(",")):
        return None
    length = stream.duration
    if _is_avi(stream) and isinstance(stream, VideoStream):
        # FFmpeg shortens the duration of a file that was cut off. The frame count in the header is
        # not shortened, and in AVI one frame lasts one tick of the time base.
        length = max(length, stream.frames)
    return float(((stream.start_time or 0) + length) * stream.time_base)


def announced_file_end_s(container: InputContainer) -> float | None:
    """Return the length of the whole file in seconds, or None if the container does not say.

    Args:
        container: The open file.

    Returns:
        Length of its longest stream. Some formats (Matroska) count it from time 0, others from the
        first packet, so it is at most the end of the file on the container's clock.
    """
    return None if container.duration is None else container.duration / av.time_base


def announced_frames(stream: VideoStream) -> int | None:
    """Return how many frames a video stream should decode to.

    Args:
        stream: The stream.

    Returns:
        Number of frames that the container announces, without frames that an edit list hides and
        without empty ones (AVI fills pauses with them); None if the container does not say.
    """
    if not stream.frames:
        return None
    shown = sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)
    return min(stream.frames, shown) if shown else stream.frames


def has_variable_rate(stream: VideoStream) -> bool | None:
    """Return whether the time between frames varies, by the index of the container.

    Args:
        stream: The stream.

    Returns:
        False if all decoding times are those of a constant rate, rounded to the time base; None if
        the index does not list all frames.
    """
    times = [entry.timestamp for entry in stream.index_entries if entry.size > 0]
    if not stream.frames or len(times) < max(stream.frames, 2):
        return None
    step = (times[-1] - times[0]) / (len(times) - 1)
    return any(abs(time - times[0] - step * k) > 1 for k, time in enumerate(times))


def indexed_frames(stream: VideoStream) -> int | None:
    """Return how many frames the fragments of an MP4 file list, which are read one after the other.

    Args:
        stream: The stream, after its last packet.

    Returns:
        Number of frames, without those that an edit list hides; None for another container.
    """
    if "mp4" not in stream.container.format.name.split(","):
        return None
    return sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """Read the packets of some streams to the end of the file.

    Args:
        container: The open file.
        *streams: Streams of that file.

    Yields:
        Packet[Stream]: Each packet with data, in file order.
    """
    # At the end of the file PyAV 18 adds an empty packet for each stream, and raises IndexError if
    # streams appeared during reading (MPEG-TS). All packets have been read by then, and the callers
    # flush the decoders themselves.
    with suppress(IndexError):
        for packet in container.demux(*streams):
            beat()
            if packet.size:
                yield packet


def packet_end_s(packet: Packet[Stream]) -> float | None:
    """Return the time at which the content of a packet ends, on the container's clock.

    Args:
        packet: Packet of any stream.

    Returns:
        Time in seconds, or None if the packet has no timestamp.
    """
    # Presentation time first: it is what a player shows. Some containers store decoding times only.
    begin = packet.dts if packet.pts is None else packet.pts
    if begin is None or packet.time_base is None:
        return None
    return float((begin + (packet.duration or 0)) * packet.time_base)


def tolerance_frames(count: int) -> float:
    """Return how many frames may be missing from a video before it counts as damaged.

    Args:
        count: Number of frames that the container announces.

    Returns:
        Number of frames, at most half of them, so that short videos are checked too.
    """
    return min(max(FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE * count), count / 2)


def _check_file(path: PathLike) -> None:
    """Validate that a path is a file with at least one byte."""
    origin, file = os.fspath(path), Path(path)
    if file.is_dir():
        raise NotAVideoError(origin, "is a folder; pass a video file.")
    if not file.is_file():
        raise _not_a_file(origin)
    if file.stat().st_size == 0:
        raise EmptyVideoError(origin, "the file has no bytes. Copy or download it again.")


def _not_a_file(origin: str) -> NotAVideoError:
    """Return the error for a path that is no file: a pipe, a URL, or nothing at all."""
    if origin == "-" or Path(origin).exists():
        return NotAVideoError(
            origin,
            "is standard input, a pipe or a device, and a video is read more than once; save it "
            "to a file first.",
        )
    if _URL.match(origin):
        # A `Path` joins the two slashes of a URL; the message shows it as it was typed.
        return NotAVideoError(
            _URL.sub(r"\1://", origin, count=1), "is a URL; download it first, and pass the file."
        )
    return NotAVideoError(origin, "there is no such file; check the path.")


def _is_avi(stream: Stream) -> bool:
    return stream.container.format.name == "avi"


def _begins_like_mp4(path: PathLike) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] in MP4_FIRST_BOXES
