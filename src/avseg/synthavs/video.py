"""Video files of SynthAVS clips: h264 at 25 frames per second, with AAC audio."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from avseg.media.clip import FRAME_POSITION
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.sounds import SAMPLE_RATE

FRAMES_PER_SECOND = 25

#: Time of the rendered moment within the display time of a video frame, as a share of the display
#: time. With this value, the frame on screen at 15/16 of a second is the annotated frame itself. So
#: sampling the video by AVSBench's rule gives the frames to which the masks belong.
_PHASE = FRAME_POSITION * FRAMES_PER_SECOND % 1

#: One thread, because the number of threads changes the encoded bytes. Even so, x264 sometimes
#: encodes a few frames differently on a busy machine.
_H264_OPTIONS = {"crf": "18", "preset": "veryfast", "threads": "1"}


def scene_time(index: int) -> float:
    """Return the time in the scene that a frame of the video shows.

    Args:
        index: Index of the frame, from 0.

    Returns:
        Time since the start of the scene, in seconds.
    """
    return (index + _PHASE) / FRAMES_PER_SECOND


def write_video(clip: SyntheticClip, path: Path) -> None:
    """Render a clip and encode it with its audio.

    Args:
        clip: The clip; the side of its frames must be even.
        path: The mp4 file to write.
    """
    # "bitexact" omits the version of FFmpeg from the file.
    seconds = len(clip.audio) // SAMPLE_RATE
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        _encode(output, clip, seconds * FRAMES_PER_SECOND)


def _encode(output: OutputContainer, clip: SyntheticClip, frame_count: int) -> None:
    video = output.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_H264_OPTIONS)
    video.height = video.width = clip.scene.side
    # The only pixel format of h264 that all browsers play; it needs even sides.
    video.pix_fmt = "yuv420p"
    audio = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
    audio.bit_rate = 96_000
    # Audio is added frame by frame beside the pictures, so that both are interleaved in the file.
    samples_per_frame = SAMPLE_RATE // FRAMES_PER_SECOND
    for i in range(frame_count):
        pixels, _ = clip.scene.render(scene_time(i))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, FRAMES_PER_SECOND)
        output.mux(video.encode(frame))
        begin = i * samples_per_frame
        samples = np.ascontiguousarray(clip.audio[None, begin : begin + samples_per_frame])
        block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
        output.mux(audio.encode(block))
    # None flushes the frames that an encoder still holds.
    output.mux(video.encode(None))
    output.mux(audio.encode(None))
