"""Write a data set of your own in AVSBench's layout, check it, read it, and score a model on it.

python examples/own_data_set.py

The data set is made from arrays: three clips, in each a bright square that beeps in some of the
five seconds. It is written into the folder `own_data` of the current folder, in the layout of MS3:

    own_data/Multi-sources/ms3_meta_data.csv                               name, split
    own_data/Multi-sources/ms3_data/visual_frames/NAME/NAME.mp4_1.png      frames 1 to 5
    own_data/Multi-sources/ms3_data/gt_masks/SPLIT/NAME/NAME_1.png         masks, 0 and 255
    own_data/Multi-sources/ms3_data/audio_wav/SPLIT/NAME.wav               audio, 5 s
"""

import csv
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import avseg

ROOT = Path("own_data")
SAMPLE_RATE, SECONDS, SIDE = 16000, 5, 224

#: Name, split, and the seconds in which the object sounds.
CLIPS = (("first", "train", [0, 1, 4]), ("second", "test", [2, 3]), ("third", "test", [0]))


def draw_clip(
    sounding: list[int],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float32]]:
    """Draw a clip: frames (5, H, W, 3), masks (5, H, W), audio (samples,) in [-1, 1]."""
    rng = np.random.default_rng(len(sounding))
    frames = rng.integers(0, 80, (SECONDS, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((SECONDS, SIDE, SIDE), np.bool_)
    audio = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    top, left = rng.integers(0, SIDE - 80, 2)
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for second in range(SECONDS):
        square = np.s_[second, top : top + 80, left : left + 80]
        frames[square] = (220, 180, 60)
        # The mask of a frame is empty unless the object sounds in its second.
        masks[square] = second in sounding
        if second in sounding:
            part = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
            audio[part] = 0.3 * np.sin(2 * np.pi * 440 * time_s)
    return frames, masks, audio


def write_clip(folder: Path, name: str, split: str, sounding: list[int]) -> None:
    """Write the files of one clip."""
    frames, masks, audio = draw_clip(sounding)
    frame_folder = folder / "visual_frames" / name
    mask_folder = folder / "gt_masks" / split / name
    audio_folder = folder / "audio_wav" / split
    for path in (frame_folder, mask_folder, audio_folder):
        path.mkdir(parents=True, exist_ok=True)
    for number in range(SECONDS):
        frame = Image.fromarray(frames[number])
        frame.save(frame_folder / f"{name}.mp4_{number + 1}.png")
        mask = Image.fromarray(masks[number].astype(np.uint8) * 255)
        mask.save(mask_folder / f"{name}_{number + 1}.png")
    with wave.open(str(audio_folder / f"{name}.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((audio * 32767).astype("<i2").tobytes())


def main() -> None:
    """Write, check, read and score."""
    folder = ROOT / "Multi-sources"
    for name, split, sounding in CLIPS:
        write_clip(folder / "ms3_data", name, split, sounding)
    with (folder / "ms3_meta_data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split"), *(clip[:2] for clip in CLIPS)])

    findings = avseg.check_data(ROOT).findings
    print("findings:", {subset: found for subset, found in findings.items() if found} or "none")

    split = avseg.AVSBench(ROOT, subset="ms3", split="test")
    for clip in split:
        print(clip.clip_id, clip.clip.frames.shape, "sounding:", clip.masks.any(axis=(1, 2)))

    report = avseg.evaluate("av2t-sam-small", split, robustness=False)
    print({name: round(score.value, 3) for name, score in report.scores.items()})


if __name__ == "__main__":
    main()
