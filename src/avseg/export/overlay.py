"""Overlay video: masks drawn on their video, with its original timing and audio.

The video is read a second time, in step with the segmentation, so that the memory does not grow
with its length.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError
from avseg.export.drawing import Canvas, MaskDrawing, Timeline
from avseg.export.labels import SourceNumbers
from avseg.export.legend import Legend
from avseg.export.soundtrack import AudioSource, open_soundtrack, open_source
from avseg.media import choose_audio, probe
from avseg.media.colour import ColourTags
from avseg.media.container import choose_video_stream, open_media
from avseg.media.conversion import i420_tags, stored_i420
from avseg.media.video import Orientation, ShownFrame, VideoTrack
from avseg.types import AudioSelection, AudioTrackOption, Segmentation, VideoInfo

#: Largest number of pixels of an overlay. It is that of h264's level 5.1, which 4K players support.
#: The overlay of a larger video is scaled down.
MAX_OVERLAY_PIXELS = 4096 * 2304

#: Options of x264: visually close to the original, with a fast preset.
_ENCODER_OPTIONS = {"crf": "20", "preset": "veryfast"}

#: The same for frames from this number of pixels on. x264 then holds no frames to look ahead, which
#: would be 380 MB of 4K, and its files are larger by half.
_LARGE_PIXELS = 2**22
_LARGE_OPTIONS = _ENCODER_OPTIONS | {"tune": "zerolatency"}

#: Memory of the frames that x264 encodes at the same time, and of one of their pixels, in bytes.
_ENCODER_BYTES, _BYTES_PER_PIXEL = 2**27, 7


@dataclass(frozen=True)
class OverlayReport:
    """Facts about a written overlay.

    Attributes:
        path: Path of the file.
        frame_count: Number of its frames.
        sound: How the audio was transferred: "copied (aac)", "encoded anew (ac3 to aac)", "mixed
            (audio tracks 1, 2 to mono aac)", or "none".
    """

    path: Path
    frame_count: int
    sound: str


def save_overlay(
    segmentation: Segmentation, path: str | Path, audio_track: AudioTrackOption = "auto"
) -> OverlayReport:
    """Draw a segmentation on its video and write the result as an mp4 file.

    Args:
        segmentation: Masks of the whole video; the video at `segmentation.origin` is read again.
        path: The mp4 file to write; it appears when it is complete.
        audio_track: Audio track to transfer: the same option as for the segmentation.

    Returns:
        Facts about the written file.

    Raises:
        ClipError: If the video cannot be read any more.
        OutputError: If the masks do not fit the video, or the file cannot be written.
        ValueError: If there is no such `audio_track`.
    """
    path = Path(path)
    audio = choose_audio(segmentation.origin, audio_track)
    with open_overlay(probe(segmentation.origin), path, audio) as writer:
        writer.write(segmentation)
    return OverlayReport(path, frame_count=writer.frame_count, sound=writer.sound)


@contextmanager
def open_overlay(
    video: VideoInfo, path: Path, audio: AudioSelection | None = None
) -> Iterator["OverlayWriter"]:
    """Open an overlay for writing chunk by chunk.

    Args:
        video: Metadata of the video that is being segmented.
        path: The mp4 file to write; it appears at the end of the block, unless the block raises.
        audio: The audio tracks to transfer; None for those that `choose_audio` chooses.

    Yields:
        The writer; every chunk must be passed to it in order.

    Raises:
        ClipError: If the video cannot be read any more.
        OutputError: If the file cannot be written.
    """
    with replace_when_complete(path) as partial, ExitStack() as stack:
        # Video and audio are read through a file handle of their own, as in `media.clip`.
        video_input = stack.enter_context(open_media(video.path))
        source = open_source(stack, video, audio or choose_audio(video.path))
        with _explained(path):
            # The index at the start of the file, so that browsers play it before it is complete.
            options = {"movflags": "faststart"}
            output = stack.enter_context(av.open(str(partial), "w", format="mp4", options=options))
            writer = OverlayWriter(video_input, source, output, video)
        try:
            yield writer
            writer.finish()
        except BaseException:
            # Closing writes the index, which may fail too, and would hide the first error.
            with suppress(av.FFmpegError):
                output.close()
            raise


class OverlayWriter:
    """Draws masks on their video, chunk by chunk; created by `open_overlay`.

    A video frame shows the mask whose time is nearest to its own: at the full rate of the video its
    own mask; at 1 fps the mask changes half-way between two segmented frames. Every frame of the
    video is in the overlay at its original time, and upright if the video is stored rotated. An odd
    height or width is padded by one row or column, because h264 needs even sizes. A video of more
    than 4096 x 2304 pixels is scaled down by a whole number, because encoding it would take too
    much memory. Each named source has its own colour, and a legend lists the sources with a mask.

    Args:
        video_input: The original file, opened for its video only.
        source: Audio of the original file, which was opened again for it.
        output: The file to write.
        video: Metadata of the original file.

    Attributes:
        frame_count: Number of frames written so far.
        sound: How the audio is transferred, as in `OverlayReport`.
    """

    def __init__(
        self,
        video_input: InputContainer,
        source: AudioSource,
        output: OutputContainer,
        video: VideoInfo,
    ) -> None:
        self._video, self._output = video, output
        stream = choose_video_stream(video_input, video.path)
        self._shown = VideoTrack(video_input, stream, video.path).shown_frames()
        # The time base of the original, so that every frame keeps its exact timestamp. It is None
        # only for streams of a closed file.
        self._time_base = cast("Fraction", stream.time_base)
        self._next: ShownFrame | None = None
        self._step = _step(video)
        #: Height and width of a drawn frame without its padding.
        self._size = -(-video.height // self._step), -(-video.width // self._step)
        height, width = (side + side % 2 for side in self._size)
        self._canvas = Canvas.blank(height, width)
        self._timeline = Timeline(*self._canvas.luma.shape)
        self._encoder = _add_h264(output, stream, self._canvas, video)
        self._encoder.codec_context.time_base = self._time_base
        self._soundtrack = open_soundtrack(output, source, video)
        self._mask_time_s = -inf
        self._mask_drawing: MaskDrawing | None = None
        self._numbers = SourceNumbers()
        self._legend: Legend | None = None
        self.frame_count = 0
        self.sound = self._soundtrack.description

    def write(self, segmentation: Segmentation) -> None:
        """Draw the video frames whose nearest mask is known with the next chunk.

        Args:
            segmentation: Masks that follow those written so far.

        Raises:
            OutputError: If the masks do not have the size of the video, are not in order, or the
                file cannot be written.
        """
        self._check(segmentation)
        padding = tuple((0, side % 2) for side in self._size)
        frames = self._numbers.label(segmentation)
        for time, (labels, marked) in zip(segmentation.frame_times, frames, strict=True):
            # The current mask is the nearest one up to the middle between it and the next.
            self._draw_until((self._mask_time_s + float(time)) / 2)
            self._mask_time_s = float(time)
            scaled = labels[:: self._step, :: self._step]
            self._mask_drawing = (
                MaskDrawing(np.pad(scaled, padding, mode="edge")) if scaled.any() else None
            )
            self._update_legend(
                {self._numbers.by_name[source.name]: source.name for source in marked}
            )

    def finish(self) -> None:
        """Draw the remaining video frames with the last mask, and complete the file.

        Raises:
            OutputError: If the video has no frame, or the file cannot be written.
        """
        self._draw_until(inf)
        if self.frame_count == 0:
            raise OutputError(
                f"{self._video.path}: no frame could be read, so the overlay is empty; check the "
                "file with a player."
            )
        with _explained(self._video.path):
            self._soundtrack.finish()
            self._output.mux(self._encoder.encode(None))
            self._output.close()

    def _update_legend(self, names: dict[int, str]) -> None:
        """Create the legend of the sources with a mask, unless they are the same as before."""
        if not names:
            self._legend = None
        elif self._legend is None or self._legend.names != names:
            self._legend = Legend(names, *self._canvas.luma.shape)

    def _check(self, segmentation: Segmentation) -> None:
        expected, size = (self._video.height, self._video.width), segmentation.masks.shape[1:]
        if size != expected:
            raise OutputError(
                f"{self._video.path}: its frames have (height, width) {expected}, the masks "
                f"{size}; pass the segmentation of this video."
            )
        times = segmentation.frame_times
        if len(times) and times[0] < self._mask_time_s:
            raise OutputError(
                f"{self._video.path}: masks at {times[0]:.3f} s were written after masks at "
                f"{self._mask_time_s:.3f} s; write the chunks in order, each once."
            )

    def _draw_until(self, limit_s: float) -> None:
        with _explained(self._video.path):
            if self._next is None:
                self._next = next(self._shown, None)
            while self._next is not None and self._next.start_s <= limit_s:
                self._soundtrack.advance(self._next.start_s)
                self._draw(self._next)
                self._next = None  # a large picture, while the next one is decoded
                self._next = next(self._shown, None)

    def _draw(self, shown: ShownFrame) -> None:
        _copy_upright(shown.frame, self._size, self._canvas)
        if self._mask_drawing is not None:
            self._mask_drawing.draw(self._canvas)
        if self._legend is not None:
            self._legend.draw(self._canvas)
        progress = (shown.end_s - self._video.start_s) / self._video.duration_s
        self._timeline.advance(progress, sounding=self._mask_drawing is not None)
        self._timeline.draw(self._canvas)
        drawn = av.VideoFrame.from_ndarray(self._canvas.packed, format="yuv420p")
        drawn.pts, drawn.time_base = round(shown.start_s / self._time_base), self._time_base
        self._output.mux(self._encoder.encode(drawn))
        self.frame_count += 1


def _add_h264(
    output: OutputContainer, original: VideoStream, canvas: Canvas, video: VideoInfo
) -> VideoStream:
    """Add an h264 stream with the aspect ratio, colour and timecode of the original."""
    # Only a hint for the encoder; the timestamps of the frames decide when they are shown.
    rate = original.average_rate or Fraction(video.average_rate).limit_denominator(1001)
    is_large = canvas.luma.size >= _LARGE_PIXELS
    options = _LARGE_OPTIONS if is_large else _ENCODER_OPTIONS
    stream = output.add_stream("libx264", rate=rate, options=options)
    encoder = stream.codec_context
    # As many threads as x264 chooses, but each of them holds a frame.
    parallel = max(1, _ENCODER_BYTES // (_BYTES_PER_PIXEL * canvas.luma.size))
    encoder.thread_count = min((os.cpu_count() or 1) * 3 // 2, parallel)
    encoder.height, encoder.width = canvas.luma.shape
    encoder.pix_fmt = "yuv420p"  # the format that all players and browsers support
    aspect = original.sample_aspect_ratio  # width / height of one stored pixel
    if aspect:
        encoder.sample_aspect_ratio = 1 / aspect if video.rotation % 180 else aspect
    _describe_colour(encoder, video)
    if video.timecode is not None:
        stream.metadata["timecode"] = video.timecode  # the muxer writes a timecode track
    return stream


def _describe_colour(encoder: VideoCodecContext, video: VideoInfo) -> None:
    """Set the colour description of the frames that are encoded."""
    tags = i420_tags(ColourTags.of_video(video), video.pixel_format)
    encoder.color_primaries, encoder.color_trc, encoder.colorspace, encoder.color_range = (
        tags.numbers()
    )


def _step(video: VideoInfo) -> int:
    """Return by which whole number the frames are scaled down."""
    step = 1
    while (video.height // step) * (video.width // step) > MAX_OVERLAY_PIXELS:
        step += 1
    return step


def _copy_upright(frame: av.VideoFrame, size: tuple[int, int], canvas: Canvas) -> None:
    """Copy a decoded frame to the canvas: 8 bits, limited range, upright, padded to even sides."""
    orientation = Orientation.of(frame)
    height, width = orientation.size(*size)
    i420 = stored_i420(frame, height, width)  # a stream may change its size
    # Rows of a decoded plane are padded to `line_size` bytes.
    for plane, target in zip(i420.planes, (canvas.luma, canvas.blue, canvas.red), strict=True):
        # Planes support the buffer protocol, but PyAV's type stubs do not declare it.
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
            f"{path}: the overlay cannot be written ({error.strerror}). Free disk space, or write "
            "the masks without an overlay."
        ) from error
