"""Limits that bound the memory of reading any file: sizes of pictures, packets and clips.

A damaged or unusual file may announce any size. FFmpeg allocates what the file announces, so these
limits are set before it reads.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from avseg.errors import VideoTooLargeError

#: Largest number of pixels of a frame: 8K (8192 x 4320).
MAX_PIXELS = 8192 * 4320

#: Pixels of all frames of one clip of a stream, if it has more than one frame: 16 frames of
#: 1920 x 1080. The frames, as RGB, take three times as many bytes; each mask takes one.
CLIP_PIXELS = 2**25

#: Longest time from the first to the last frame of one clip of a stream, in seconds. The clip
#: includes the audio of that time.
CLIP_SPAN_S = 300.0

#: Bytes of all frames that a decoder holds, because others are predicted from them or are decoded
#: at the same time, of those that the de-interlacing filter holds, and of one frame as RGB.
DECODER_BYTES = 2**28

#: Number of frames that the de-interlacing filter holds.
_FILTER_FRAMES = 4

#: Bytes of the frames that are decoded at the same time by different threads. A small part of
#: `DECODER_BYTES`, so that the number of cores does not decide whether a video can be read.
THREAD_BYTES = 2**26

#: Largest frame that is decoded at the same time as others, in bytes. Each of these threads has its
#: own tables, and may hold frames that others are predicted from: 3840 x 2160 with 16 reference
#: frames takes 312 MB with two threads or more, and 231 MB without.
THREAD_FRAME_BYTES = 2**23

#: Largest block that FFmpeg may allocate, in bytes: 8K with 4 bytes per pixel, and the largest
#: packet.
BLOCK_BYTES = 2**28

#: Largest size of one audio packet in bytes, and samples of all channels in one audio frame.
AUDIO_PACKET_BYTES, AUDIO_FRAME_SAMPLES = 2**26, 2**24

#: FFmpeg's own maximum of the number of decoding threads that it chooses.
_MAX_THREADS = 16

#: Largest number of frames that a decoder holds: 16 that others are predicted from, 16 that wait
#: for their turn, and one for each thread.
_MAX_BUFFERS = 32 + _MAX_THREADS


@cache
def limit_blocks() -> None:
    """Set the largest block that FFmpeg may allocate, once for the process.

    PyAV has no function for it. Where FFmpeg's own cannot be found (Windows), nothing changes.
    """
    # A library that is loaded by its path also finds the symbols of the libraries that it needs.
    av_max_alloc = getattr(ctypes.CDLL(av._core.__file__), "av_max_alloc", None)
    if av_max_alloc is not None:
        av_max_alloc(ctypes.c_size_t(BLOCK_BYTES))


def video_options() -> dict[str, str]:
    """Return the options of FFmpeg with which a decoder refuses a frame that is too large."""
    return {"max_pixels": str(MAX_PIXELS)}


def limit_video_decoder(context: VideoCodecContext, origin: str) -> None:
    """Refuse a video with too large frames, and limit the frames that its decoder holds.

    Args:
        context: The decoder, before its first packet.
        origin: Path of the file, for messages.

    Raises:
        VideoTooLargeError: If the container announces more pixels than are supported.
    """
    check_pixels(context, origin)
    context.options = video_options()
    size = max(1, frame_bytes(context.format, context.width, context.height))
    if size > THREAD_FRAME_BYTES:
        # Threads within a frame; several frames at once would take too much memory.
        context.thread_type = "SLICE"
        # The decoder of AV1 decodes several frames at once in any case, unless it has one thread.
        context.thread_count = 1 if context.name == "libdav1d" else 0
    else:
        # Frame threads too; by default FFmpeg uses threads only within a frame, which is slower.
        context.thread_type = "AUTO"
        parallel = THREAD_BYTES // size
        context.thread_count = min((os.cpu_count() or 1) + 1, _MAX_THREADS, parallel)


def check_pixels(context: VideoCodecContext, origin: str) -> None:
    """Raise an error if the frames of a video have too many pixels.

    Args:
        context: The decoder, with the size of the next frame.
        origin: Path of the file, for messages.

    Raises:
        VideoTooLargeError: If they have.
    """
    if context.width * context.height > MAX_PIXELS:
        raise VideoTooLargeError(
            origin,
            f"its frames have {context.width} x {context.height} pixels; at most {MAX_PIXELS} "
            "(8192 x 4320) fit into the memory. Scale the video down first.",
        )


def limit_audio_decoder(context: AudioCodecContext) -> None:
    """Limit the samples of an audio frame.

    Args:
        context: The decoder, before its first packet.
    """
    context.options = {"max_samples": str(AUDIO_FRAME_SAMPLES // max(1, context.channels))}


def check_audio_packet(packet: Packet[AudioStream], origin: str) -> None:
    """Raise an error if a packet is too large to be decoded.

    Args:
        packet: An audio packet.
        origin: Path of the file, for messages.

    Raises:
        VideoTooLargeError: If it is.
    """
    if packet.size > AUDIO_PACKET_BYTES:
        raise VideoTooLargeError(
            origin,
            f"a packet of its audio has {packet.size} bytes; at most {AUDIO_PACKET_BYTES} fit into "
            "the memory. Copy the streams into a new file with smaller packets, or re-encode it.",
        )


def check_audio_frame(frame: AudioFrame, sample_rate: int, origin: str) -> None:
    """Raise an error if a frame is too large to be resampled.

    Args:
        frame: A decoded audio frame.
        sample_rate: Sample rate of the result, in Hz.
        origin: Path of the file, for messages.

    Raises:
        VideoTooLargeError: If it is.
    """
    channels = frame.layout.nb_channels
    samples = frame.samples * channels * max(1.0, sample_rate / frame.sample_rate)
    if samples > AUDIO_FRAME_SAMPLES:
        raise VideoTooLargeError(
            origin,
            f"a frame of its audio has {frame.samples} samples of {channels} channels, "
            f"{samples:.0f} in all at {sample_rate} Hz; at most {AUDIO_FRAME_SAMPLES} fit into the "
            "memory. Re-encode the audio.",
        )


class DecoderMemory:
    """Counts the buffers of a decoder, of which each holds a frame and is used again later.

    A stream may predict a frame from up to 16 others, and no container announces how many.

    Args:
        context: The decoder.
        origin: Path of the file, for messages.
    """

    def __init__(self, context: VideoCodecContext, origin: str) -> None:
        self._context, self._origin = context, origin
        self._buffers: set[int] = set()
        self._size: tuple[int, int, str] | None = None
        # Frames that are predicted from no other need no buffers, and may get new memory each time.
        self._is_checked = not context.codec.intra_only

    def add(self, frame: VideoFrame) -> None:
        """Process the next decoded frame.

        Args:
            frame: The frame.

        Raises:
            VideoTooLargeError: If the decoder needs too much memory.
        """
        size = frame_bytes(frame.format, frame.width, frame.height)
        if not self._is_checked or size * _MAX_BUFFERS <= DECODER_BYTES:
            return
        shape = frame.width, frame.height, frame.format.name
        if shape != self._size:  # the decoder allocates new buffers
            self._size = shape
            self._buffers.clear()
        self._buffers.add(frame.planes[0].buffer_ptr)
        held = len(self._buffers) + self._context.reorder_depth
        held += _FILTER_FRAMES if frame.interlaced_frame else 0
        rgb_bytes = 3 * frame.width * frame.height
        if held * size + rgb_bytes > DECODER_BYTES:
            raise VideoTooLargeError(
                self._origin,
                f"decoding it needs {held} frames of {frame.width} x {frame.height} pixels "
                f"({frame.format.name}) at the same time, {held * size} bytes, and one frame as "
                f"RGB, {rgb_bytes} bytes; at most {DECODER_BYTES} bytes fit into the memory. Scale "
                f"the video down first{_alternative(frame)}.",
            )


def _alternative(frame: VideoFrame) -> str:
    """Return what else makes the frames of a video small enough, with a comma before it."""
    if frame.interlaced_frame:
        return ", or de-interlace it"
    if any(component.bits > 8 for component in frame.format.components):
        return ", or convert it to 8 bits"
    return ", or re-encode it with fewer reference frames"


def frame_bytes(pixels: VideoFormat | None, width: int, height: int) -> int:
    """Compute the memory of a decoded frame.

    Args:
        pixels: Its pixel format; None if it is unknown, for 8-bit 4:2:0.
        width: Its width.
        height: Its height.

    Returns:
        Number of bytes.
    """
    bits = 12 if pixels is None else pixels.padded_bits_per_pixel
    return width * height * bits // 8
