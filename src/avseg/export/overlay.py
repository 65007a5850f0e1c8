"""Masks drawn on the video they were made from, with its times and its sound.

The video is read a second time, in step with the segmentation, so that a video of any length
passes through in the memory of a few pictures.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError
from avseg.export.drawing import Canvas, Look, Timeline
from avseg.export.labels import SourceNumbers
from avseg.export.legend import Legend
from avseg.export.soundtrack import open_soundtrack
from avseg.media import probe
from avseg.media.container import choose_audio_stream, choose_video_stream, open_media
from avseg.media.video import Orientation, Picture, ShownFrame
from avseg.types import Segmentation, VideoInfo

_ENCODER_OPTIONS = {"crf": "20", "preset": "veryfast"}


@dataclass(frozen=True)
class OverlayReport:
    """What went into an overlay.

    Attributes:
        path: The file.
        frame_count: How many pictures it has.
        sound: What happened to the sound: "copied (aac)", "encoded anew (ac3 to aac)" or "none".
    """

    path: Path
    frame_count: int
    sound: str


def save_overlay(segmentation: Segmentation, path: str | Path) -> OverlayReport:
    """Draw a segmentation on the video it was made from.

    Args:
        segmentation: Masks of the whole video; `segmentation.origin` is read again.
        path: The mp4 file to write; it appears when it is complete.

    Returns:
        What went into the file.

    Raises:
        ClipError: If the source cannot be read (any more).
        OutputError: If the masks do not belong to the source, or the file cannot be written.
    """
    path = Path(path)
    with open_overlay(probe(segmentation.origin), path) as writer:
        writer.write(segmentation)
    return OverlayReport(path, frame_count=writer.frame_count, sound=writer.sound)


@contextmanager
def open_overlay(video: VideoInfo, path: Path) -> Iterator["OverlayWriter"]:
    """Begin an overlay that is written chunk after chunk.

    Args:
        video: The video that is being segmented.
        path: The mp4 file to write; it appears when the block ends, and not if it raises.

    Yields:
        The writer, to be given every chunk in order.

    Raises:
        ClipError: If the video cannot be read (any more).
        OutputError: If the file cannot be written.
    """
    with replace_when_complete(path) as partial, ExitStack() as stack:
        # The picture and the sound are read apart, each through its own opening of the file.
        picture, sound = (stack.enter_context(open_media(video.path)) for _ in range(2))
        with _explained(path):
            options = {"movflags": "faststart"}
            output = stack.enter_context(av.open(str(partial), "w", format="mp4", options=options))
            writer = OverlayWriter(picture, sound, output, video)
        yield writer
        writer.finish()


class OverlayWriter:
    """Draws masks on their video, chunk after chunk; made by `open_overlay`.

    A picture shows the mask whose time is nearest to its own: at the video's full rate its own
    mask; at 1 fps the mask changes half-way between two segmented frames. Every picture of the
    video is in the overlay at its own time, upright if the video is stored rotated, with one
    more row or column where height or width are odd (h264 needs even ones). Named sources have a
    colour each, and a legend in the corner names those that are marked.

    Args:
        picture: The original, opened for its picture alone.
        sound: The original, opened once more for its sound alone.
        output: The file being written.
        video: Facts about the original.

    Attributes:
        frame_count: How many pictures have been written.
        sound: What happens to the sound, as in `OverlayReport`.
    """

    def __init__(
        self,
        picture: InputContainer,
        sound: InputContainer,
        output: OutputContainer,
        video: VideoInfo,
    ) -> None:
        self._video, self._output = video, output
        source = choose_video_stream(picture, video.path)
        self._shown = Picture(picture, source, video.path).shown_frames()
        # The source's own ticks, so that every picture keeps its time to the tick.
        self._ticks = cast("Fraction", source.time_base)  # None for no stream of an open file
        self._next: ShownFrame | None = None
        self._canvas = Canvas.blank(video.height + video.height % 2, video.width + video.width % 2)
        self._timeline = Timeline(*self._canvas.luma.shape)
        self._encoder = _add_h264(output, source, self._canvas, video)
        self._encoder.codec_context.time_base = self._ticks
        self._soundtrack = open_soundtrack(output, sound, _sound_stream(sound, video))
        self._mask_time_s = -inf
        self._look: Look | None = None
        self._numbers = SourceNumbers()
        self._legend: Legend | None = None
        self.frame_count = 0
        self.sound = self._soundtrack.description

    def write(self, segmentation: Segmentation) -> None:
        """Add the next chunk, and draw the pictures whose mask it decides.

        Args:
            segmentation: The masks that follow those written so far.

        Raises:
            OutputError: If the masks do not have the video's size or do not come in order, or
                the file cannot be written.
        """
        self._check(segmentation)
        room = ((0, self._video.height % 2), (0, self._video.width % 2))
        frames = self._numbers.label(segmentation)
        for time, (labels, marked) in zip(segmentation.frame_times, frames, strict=True):
            self._draw_until((self._mask_time_s + float(time)) / 2)
            self._mask_time_s = float(time)
            self._look = Look(np.pad(labels, room, mode="edge")) if labels.any() else None
            self._name({self._numbers.of[source.name]: source.name for source in marked})

    def finish(self) -> None:
        """Draw the pictures that are left with the last mask, and complete the file.

        Raises:
            OutputError: If there is no picture, or the file cannot be written.
        """
        self._draw_until(inf)
        if self.frame_count == 0:
            raise OutputError(f"{self._video.path}: no picture could be read, so none was drawn.")
        with _explained(self._video.path):
            self._soundtrack.finish()
            self._output.mux(self._encoder.encode(None))
            self._output.close()

    def _name(self, names: dict[int, str]) -> None:
        """Make the legend of the marked sources, unless it is the same as before."""
        if not names:
            self._legend = None
        elif self._legend is None or self._legend.names != names:
            self._legend = Legend(names, *self._canvas.luma.shape)

    def _check(self, segmentation: Segmentation) -> None:
        expected, size = (self._video.height, self._video.width), segmentation.masks.shape[1:]
        if size != expected:
            raise OutputError(
                f"{self._video.path}: its pictures are {expected} (height, width), the masks "
                f"{size}; were they made from another video?"
            )
        times = segmentation.frame_times
        if len(times) and times[0] < self._mask_time_s:
            raise OutputError(
                f"{self._video.path}: masks at {times[0]:.3f} s came after those at "
                f"{self._mask_time_s:.3f} s; write the chunks in order, each once."
            )

    def _draw_until(self, limit_s: float) -> None:
        with _explained(self._video.path):
            if self._next is None:
                self._next = next(self._shown, None)
            while self._next is not None and self._next.start_s <= limit_s:
                self._soundtrack.advance(self._next.start_s)
                self._draw(self._next)
                self._next = next(self._shown, None)

    def _draw(self, shown: ShownFrame) -> None:
        _copy_upright(shown.frame, self._video, self._canvas)
        if self._look is not None:
            self._look.draw(self._canvas)
        if self._legend is not None:
            self._legend.draw(self._canvas)
        progress = (shown.end_s - self._video.start_s) / self._video.duration_s
        self._timeline.advance(progress, sounding=self._look is not None)
        self._timeline.draw(self._canvas)
        drawn = av.VideoFrame.from_ndarray(self._canvas.packed, format="yuv420p")
        drawn.pts, drawn.time_base = round(shown.start_s / self._ticks), self._ticks
        self._output.mux(self._encoder.encode(drawn))
        self.frame_count += 1


def _sound_stream(sound: InputContainer, video: VideoInfo) -> AudioStream | None:
    return choose_audio_stream(sound, choose_video_stream(sound, video.path))


def _add_h264(
    output: OutputContainer, source: VideoStream, canvas: Canvas, video: VideoInfo
) -> VideoStream:
    rate = source.average_rate or Fraction(video.average_rate).limit_denominator(1001)
    stream = output.add_stream("libx264", rate=rate, options=_ENCODER_OPTIONS)
    encoder, decoder = stream.codec_context, source.codec_context
    encoder.height, encoder.width = canvas.luma.shape
    encoder.pix_fmt = "yuv420p"
    aspect = source.sample_aspect_ratio  # of one pixel, as stored
    if aspect:
        encoder.sample_aspect_ratio = 1 / aspect if video.rotation % 180 else aspect
    encoder.colorspace = decoder.colorspace
    encoder.color_primaries = decoder.color_primaries
    encoder.color_trc = decoder.color_trc
    encoder.color_range = ColorRange.MPEG
    return stream


def _copy_upright(frame: av.VideoFrame, video: VideoInfo, canvas: Canvas) -> None:
    """Put a decoded picture on the canvas: 8 bits, limited range, upright, even sides."""
    orientation = Orientation.of(frame)
    height, width = orientation.size(video.height, video.width)
    i420 = frame.reformat(
        width=width,  # a stream may change its size on the way
        height=height,
        format="yuv420p",
        dst_color_range=ColorRange.MPEG if frame.color_range == ColorRange.JPEG else None,
    )
    for plane, target in zip(i420.planes, (canvas.luma, canvas.blue, canvas.red), strict=True):
        # Planes are buffers, though PyAV's type stubs do not say so.
        memory = np.frombuffer(cast("memoryview", plane), dtype=np.uint8)
        stored = memory.reshape(plane.height, plane.line_size)[:, : plane.width]
        upright = orientation.upright(stored)
        height, width = upright.shape
        target[:height, :width] = upright
        target[height:, :width] = upright[-1:]
        target[:, width:] = target[:, width - 1 : width]


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise OutputError(
            f"{path}: the overlay cannot be made ({error.strerror}); is the disk full? Without an "
            "overlay the masks can still be written."
        ) from error
