"""Video files of clips: frames and audio on one clock."""

from pathlib import Path

import av
import numpy as np

from avseg.media import read_clip
from avseg.synthavs.clips import SoundEvent, SyntheticClip
from avseg.synthavs.scenes import MovingObject, Scene
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.video import write_video


def clip_of(seconds: int) -> SyntheticClip:
    """Return a white square that crosses a black frame, and a tone in the second second."""
    pixels = np.full((20, 20, 4), 255, np.uint8)
    thing = MovingObject("dog", pixels, 0.3, 0.0, (0.2, 0.5), (0.2, 0.0), 0.0, 0.0, 0.0)
    active = np.arange(seconds) == 1
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    audio = 0.5 * np.sin(2 * np.pi * 440 * time) * np.repeat(active, SAMPLE_RATE)
    scene = Scene(np.zeros((64, 64, 3), np.uint8), (thing,))
    stems = audio.astype(np.float32)[None]
    return SyntheticClip(scene, (SoundEvent("dog", 1, active),), seconds, lambda: stems)


def test_it_has_25_frames_in_each_second(tmp_path: Path) -> None:
    write_video(clip_of(seconds=3), tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(times, np.arange(75) / 25)


def test_the_frame_at_15_16_of_a_second_is_the_annotated_one(tmp_path: Path) -> None:
    clip = clip_of(seconds=3)
    write_video(clip, tmp_path / "clip.mp4")
    read = read_clip(tmp_path / "clip.mp4")
    for second in range(3):
        marked = read.frames[second].mean(axis=-1) > 127
        assert (marked != (clip.frame(second)[1] == 1)).mean() < 0.005


def test_audio_keeps_its_time(tmp_path: Path) -> None:
    write_video(clip_of(seconds=3), tmp_path / "clip.mp4")
    windows = read_clip(tmp_path / "clip.mp4").audio_windows()
    assert (np.abs(windows).max(axis=1) > 0.4).tolist() == [False, True, False]
