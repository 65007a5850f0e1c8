"""Check that `make demo` marked what sounds, while it sounds, and nothing else.

The truth, `examples/demo_truth.json`, is a list with one entry for each frame of the result:

    {"time_s": 0.92, "settled": true, "rle": {"size": [height, width], "counts": "..."}}

`time_s` is the frame's presentation time on the clip's clock, `settled` whether the same objects
sound for the half second before and after it (the model hears a second at a time, so that frames
near a start or a stop are not judged), `rle` the pixels of the objects that sound then, in COCO's
compressed run-length form at the clip's own size; empty if nothing sounds.
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import avseg
from avseg.export.rle import decode_mask

ROOT = Path(__file__).parent.parent
TRUTH = ROOT / "examples" / "demo_truth.json"
RESULT = ROOT / "demo_output" / "demo"

MIN_IOU = 0.5  # mean over the frames in which something sounds
MAX_MARKED = 0.01  # share of a frame in which nothing sounds
MAX_TIME_DIFFERENCE_S = 0.1

Masks = npt.NDArray[np.bool_]


def main() -> int:
    """Check the result and print one line for each thing that is wrong.

    Returns:
        0 if nothing is wrong, 1 otherwise.
    """
    truth = json.loads(TRUTH.read_text())
    frames = json.loads((RESULT / "result.json").read_text())["frames"]
    faults = [
        *check_times([f["time_s"] for f in truth], [f["time_s"] for f in frames]),
        *check_overlay(RESULT / "overlay.mp4"),
    ]
    if not faults:
        settled = np.array([frame["settled"] for frame in truth])
        expected = np.stack([decode_mask(frame["rle"]) for frame in truth])
        faults += check_masks(read_masks(RESULT / "masks")[settled], expected[settled])
    for fault in faults:
        print(f"demo: {fault}", file=sys.stderr)
    return 1 if faults else 0


def check_times(expected: list[float], found: list[float]) -> list[str]:
    """Compare the times of the frames.

    Args:
        expected: Times of the truth in seconds.
        found: Times of the result in seconds.

    Returns:
        What is wrong.
    """
    if len(expected) != len(found):
        return [f"the result has {len(found)} frames, the truth {len(expected)}."]
    difference = np.abs(np.subtract(expected, found)).max(initial=0)
    if difference > MAX_TIME_DIFFERENCE_S:
        return [f"a frame is {difference:.3f} s from its true time; was the clip made anew?"]
    return []


def check_overlay(path: Path) -> list[str]:
    """Look whether the overlay is a video with sound.

    Args:
        path: The overlay.

    Returns:
        What is wrong.
    """
    try:
        info = avseg.probe(path)
    except avseg.AvsegError as error:
        return [f"the overlay cannot be played: {error}"]
    return [] if info.audio_codec else [f"{path} has lost its sound."]


def read_masks(folder: Path) -> Masks:
    """Read the indexed PNGs in the order of their names.

    Args:
        folder: Where they are.

    Returns:
        What they mark, (T, H, W) bool.
    """
    return np.stack([np.asarray(Image.open(path)) > 0 for path in sorted(folder.glob("*.png"))])


def check_masks(marked: Masks, expected: Masks) -> list[str]:
    """Compare masks with the truth.

    Args:
        marked: Masks of the result, (T, H, W) bool.
        expected: Masks of the truth, (T, H, W) bool.

    Returns:
        What is wrong.
    """
    if marked.shape != expected.shape:
        return [f"the masks are {marked.shape}, the truth is {expected.shape}."]
    sounding = expected.any(axis=(1, 2))  # (T,)
    if sounding.all() or not sounding.any():
        return [f"{TRUTH} must have frames in which something sounds and frames in which not."]
    shared = (marked & expected).sum(axis=(1, 2))[sounding]
    either = (marked | expected).sum(axis=(1, 2))[sounding]
    iou = float((shared / either).mean())
    most_marked = float(marked[~sounding].mean(axis=(1, 2)).max())
    print(
        f"demo: IoU {iou:.3f} over {sounding.sum()} sounding frames, "
        f"at most {most_marked:.2%} marked in {(~sounding).sum()} silent frames"
    )
    faults = []
    if iou < MIN_IOU:
        faults.append(f"IoU over sounding frames is {iou:.3f}, must be at least {MIN_IOU}.")
    if most_marked >= MAX_MARKED:
        faults.append(f"{most_marked:.2%} of a silent frame is marked, must be < {MAX_MARKED:.0%}.")
    return faults


if __name__ == "__main__":
    sys.exit(main())
