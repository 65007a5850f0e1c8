"""Check the masks of `make demo` against the ground truth, and that silent frames are empty.

The ground truth, `examples/demo_truth.json`, is a list with one entry for each frame of the result:

    {"time_s": 0.92, "settled": true, "rle": {"size": [height, width], "counts": "..."}}

`time_s` is the presentation time of the frame. `settled` is whether the same objects sound for half
a second before and after it; other frames are not checked, because the audio window of the model is
one second long. `rle` is the mask of all sounding objects, in COCO's compressed run-length encoding
at the size of the clip; it is empty in a silent frame.
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import avseg
from avseg.export.rle import decode_mask
from avseg.metrics import boundary_f

ROOT = Path(__file__).parent.parent
TRUTH = ROOT / "examples" / "demo_truth.json"
RESULT = ROOT / "demo_output" / "demo"

MIN_IOU = 0.75  # mean over the frames with a sounding object
MIN_BOUNDARY_F = 0.6  # mean over the same frames, DAVIS's tolerance
MAX_MARKED = 0.01  # share of the pixels of a silent frame
MAX_TIME_DIFFERENCE_S = 0.1

Masks = npt.NDArray[np.bool_]


def main() -> int:
    """Check the result and print one line for each error.

    Returns:
        0 if there is no error, 1 otherwise.
    """
    truth = json.loads(TRUTH.read_text())
    frames = json.loads((RESULT / "result.json").read_text())["frames"]
    errors = [
        *check_times([f["time_s"] for f in truth], [f["time_s"] for f in frames]),
        *check_overlay(RESULT / "overlay.mp4"),
    ]
    if not errors:
        settled = np.array([frame["settled"] for frame in truth])
        expected = np.stack([decode_mask(frame["rle"]) for frame in truth])
        errors += check_masks(read_masks(RESULT / "masks")[settled], expected[settled])
    for error in errors:
        print(f"demo: {error}", file=sys.stderr)
    return 1 if errors else 0


def check_times(expected: list[float], found: list[float]) -> list[str]:
    """Compare the frame times of the result with the ground truth.

    Args:
        expected: Frame times of the ground truth, in seconds.
        found: Frame times of the result, in seconds.

    Returns:
        Error messages.
    """
    if len(expected) != len(found):
        return [f"the result has {len(found)} frames, the ground truth {len(expected)}."]
    difference = np.abs(np.subtract(expected, found)).max(initial=0)
    if difference > MAX_TIME_DIFFERENCE_S:
        return [f"a frame time differs by {difference:.3f} s; did the clip change?"]
    return []


def check_overlay(path: Path) -> list[str]:
    """Check that the overlay is a video with an audio stream.

    Args:
        path: The overlay.

    Returns:
        Error messages.
    """
    try:
        info = avseg.probe(path)
    except avseg.AvsegError as error:
        return [f"the overlay cannot be read: {error}"]
    return [] if info.audio_codec else [f"{path} has no audio stream."]


def read_masks(folder: Path) -> Masks:
    """Read the indexed PNGs in the order of their names.

    Args:
        folder: Folder of the PNGs.

    Returns:
        Marked pixels, (T, H, W) bool.
    """
    return np.stack([np.asarray(Image.open(path)) > 0 for path in sorted(folder.glob("*.png"))])


def check_masks(marked: Masks, expected: Masks) -> list[str]:
    """Compare the predicted masks with the ground truth.

    Args:
        marked: Predicted masks, (T, H, W) bool.
        expected: Ground-truth masks, (T, H, W) bool.

    Returns:
        Error messages.
    """
    if marked.shape != expected.shape:
        return [f"the masks are {marked.shape}, the ground truth is {expected.shape}."]
    sounding = expected.any(axis=(1, 2))  # (T,)
    if sounding.all() or not sounding.any():
        return [f"{TRUTH} must have silent frames and frames with a sounding object."]
    shared = (marked & expected).sum(axis=(1, 2))[sounding]
    either = (marked | expected).sum(axis=(1, 2))[sounding]
    iou = float((shared / either).mean())
    pairs = zip(marked[sounding], expected[sounding], strict=True)
    boundary = float(np.mean([boundary_f(mask, truth) for mask, truth in pairs]))
    most_marked = float(marked[~sounding].mean(axis=(1, 2)).max())
    print(
        f"demo: IoU {iou:.3f} and boundary F {boundary:.3f} over {sounding.sum()} sounding frames, "
        f"at most {most_marked:.2%} marked in {(~sounding).sum()} silent frames"
    )
    errors = []
    if iou < MIN_IOU:
        errors.append(f"IoU over sounding frames is {iou:.3f}, must be at least {MIN_IOU}.")
    if boundary < MIN_BOUNDARY_F:
        errors.append(f"boundary F is {boundary:.3f}, must be at least {MIN_BOUNDARY_F}.")
    if most_marked >= MAX_MARKED:
        errors.append(f"{most_marked:.2%} of a silent frame is marked, must be < {MAX_MARKED:.0%}.")
    return errors


if __name__ == "__main__":
    sys.exit(main())
