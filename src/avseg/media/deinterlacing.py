"""De-interlacing: frames of two fields of different times become frames of one time.

FFmpeg's filter bwdif gives one frame for each frame, at the time of its first field, so that
neither the number nor the times of the frames change. Frames that are not marked as interlaced
pass unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

from av.error import BlockingIOError as NeedsMoreFramesError
from av.error import EOFError as EndOfFramesError
from av.filter import Graph
from av.video.frame import VideoFrame

#: Unit of the times in the filter. It does not use them, and its results get the original ones.
_TICK = Fraction(1, 1000)


class Deinterlacer:
    """De-interlaces the interlaced frames of a video, in order.

    Attributes:
        count: Number of interlaced frames so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._graph: Graph | None = None
        self._layout: tuple[int, int, str] | None = None  # height, width and pixel format
        self._times: deque[tuple[int | None, int]] = deque()  # of the frames in the filter

    def add(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Add the next frame.

        Args:
            frame: Decoded frame.

        Yields:
            VideoFrame: Frames that are complete. Before the first interlaced frame each frame is
                yielded at once, after it one frame late: a frame needs the one that follows it.
        """
        self.count += frame.interlaced_frame
        layout = (frame.height, frame.width, frame.format.name)
        if self._graph is not None and layout != self._layout:
            yield from self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame
                return
            self._graph, self._layout = _graph(frame), layout
        self._times.append((frame.pts, frame.duration))
        self._graph.push(frame)
        yield from self._finished()

    def flush(self) -> Iterator[VideoFrame]:
        """Complete the last frames.

        Yields:
            VideoFrame: Frames that had to wait for the next one.
        """
        if self._graph is not None:
            self._graph.push(None)
            yield from self._finished()
            self._graph = None

    def _finished(self) -> Iterator[VideoFrame]:
        """Yield the frames that the filter has completed, at their original times."""
        while self._graph is not None:
            try:
                frame = self._graph.vpull()
            except (NeedsMoreFramesError, EndOfFramesError):
                return
            frame.pts, frame.duration = self._times.popleft()
            yield frame


def _graph(frame: VideoFrame) -> Graph:
    """Create the filter for frames of one size and pixel format."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph
