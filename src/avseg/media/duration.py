"""Length of a video without decoding it."""

from __future__ import annotations

from contextlib import suppress

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from avseg.media.container import (
    announced_end_s,
    announced_file_end_s,
    packet_end_s,
    packets_of,
)
from avseg.media.video import average_rate


def video_duration_s(container: InputContainer, video: VideoStream, start_s: float) -> float:
    """Return the length of a video from its stream, or else its last packets or the container.

    Args:
        container: The open file. Its position changes if the stream announces no end.
        video: The video stream.
        start_s: Presentation time of the first frame, in seconds.

    Returns:
        Length in seconds, positive.
    """
    # Without the time before the first frame, which the length of the whole file includes.
    end_s = announced_end_s(video)
    if end_s is None or end_s <= start_s:
        end_s = _last_end_s(container, video)
    if end_s is not None and end_s > start_s:
        return end_s - start_s
    return max(announced_file_end_s(container) or 0.0, 1 / average_rate(video))


def _last_end_s(container: InputContainer, video: VideoStream) -> float | None:
    """Return the end of the last video packet in seconds; None if there is none."""
    if not video.time_base:
        return None
    # From the last key frame on, and from the start of a file that has no index.
    for target_s in (announced_file_end_s(container) or 0.0, 0.0):
        ends: list[float] = []
        with suppress(FFmpegError):  # a file without an index, or one that is damaged
            container.seek(round(target_s / video.time_base), stream=video)
            for packet in packets_of(container, video):
                end_s = packet_end_s(packet)
                if end_s is not None:
                    # Some formats, such as FLV, store no durations.
                    ends.append(end_s if packet.duration else end_s + 1 / average_rate(video))
        if ends:
            return max(ends)
    return None
