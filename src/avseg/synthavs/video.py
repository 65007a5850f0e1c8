"""A clip of SynthAVS as a video file: h264 pictures at 25 frames a second, AAC sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from avseg.media.clip import FRAME_POSITION
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.scenes import render
from avseg.synthavs.sounds import SAMPLE_RATE

FRAMES_PER_SECOND = 25

#: When in its time on screen a picture shows the scene. By this choice the picture that is on
#: screen at 15/16 of a second shows the annotated frame itself: whoever takes frames by AVSBench's
#: rule gets the pictures that the masks belong to.
_PHASE = FRAME_POSITION * FRAMES_PER_SECOND % 1

#: One thread, so that the same clip gives the same bytes on every machine.
_H264_OPTIONS = {"crf": "18", "preset": "veryfast", "threads": "1"}


def scene_time(picture: int) -> float:
    """Return the moment of the scene that a picture of the video shows.

    Args:
        picture: Its number, from 0.

    Returns:
        Time since the start of the scene, in seconds.
    """
    return (picture + _PHASE) / FRAMES_PER_SECOND


def write_video(clip: SyntheticClip, path: Path) -> None:
    """Render a clip and encode it with its sound.

    Args:
        clip: The clip; the side of its frames must be even.
        path: The mp4 file to write.
    """
    seconds = len(clip.audio) // SAMPLE_RATE
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        _encode(output, clip, seconds * FRAMES_PER_SECOND)


def _encode(output: OutputContainer, clip: SyntheticClip, frame_count: int) -> None:
    picture = output.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_H264_OPTIONS)
    picture.height, picture.width = clip.scene.background.shape[:2]
    picture.pix_fmt = "yuv420p"
    sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
    sound.bit_rate = 96_000
    samples_per_frame = SAMPLE_RATE // FRAMES_PER_SECOND
    for i in range(frame_count):
        pixels, _ = render(clip.scene, scene_time(i))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, FRAMES_PER_SECOND)
        output.mux(picture.encode(frame))
        begin = i * samples_per_frame
        samples = np.ascontiguousarray(clip.audio[None, begin : begin + samples_per_frame])
        heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
        output.mux(sound.encode(heard))
    output.mux(picture.encode(None))
    output.mux(sound.encode(None))
