"""SMPTE timecode of the first frame of a video, as editing software counts frames."""

from __future__ import annotations

import re
from collections.abc import Iterator

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

#: Hours, minutes, seconds and frames. ";" (or ".") marks drop-frame timecode, which leaves out
#: numbers of frames at 29.97 and 59.94 frames per second to keep in step with the clock.
_TIMECODE = re.compile(r"(\d{2}:[0-5]\d:[0-5]\d)([:;.])(\d{1,3})")


def start_timecode(container: InputContainer, stream: VideoStream, first: VideoFrame) -> str | None:
    """Return the timecode of the first frame.

    It is that of the video stream, a timecode track (`tmcd`), the container (MXF, AVI, DV), or the
    frame itself (H.264, HEVC, MPEG-2), whichever comes first in this order.

    Args:
        container: The open file.
        stream: Its video stream.
        first: First decoded frame of that stream.

    Returns:
        Timecode such as "01:02:03:04", or "01:02:03;04" for drop-frame timecode; None if the file
        has none.
    """
    for text in _candidates(container, stream, first):
        if match := _TIMECODE.fullmatch(text):
            clock, separator, frames = match.groups()
            return f"{clock}{':' if separator == ':' else ';'}{int(frames):02d}"
    return None


def _candidates(container: InputContainer, stream: VideoStream, first: VideoFrame) -> Iterator[str]:
    tracks = [s for s in container.streams if s.type == "data"]
    for metadata in (
        stream.metadata,
        *(track.metadata for track in tracks),
        container.metadata,
        first.metadata,
    ):
        # Matroska writes the names of its tags in capitals.
        yield from (text for name, text in metadata.items() if name.lower() == "timecode")
