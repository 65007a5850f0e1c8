"""Segment a video, write masks and an overlay video, and print the names of the sounding objects.

python examples/segment_video.py [VIDEO] [--model NAME] [--frames-per-second RATE] [--output FOLDER]

Without arguments it segments the demo with tavis-small, a small model that names what it marks. It
was trained on synthetic clips only, so for a video of your own choose a published model from the
list of `avseg models`.
"""

import argparse
from pathlib import Path

import avseg

DEMO = Path(__file__).with_name("demo.mp4")


def main() -> None:
    """Segment, write and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--model", default="tavis-small")
    parser.add_argument("--frames-per-second", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=Path("segment_video_output"))
    options = parser.parse_args()

    segmenter = avseg.load_segmenter(options.model)
    result = segmenter(options.video, frames_per_second=options.frames_per_second)
    avseg.save_masks(result, options.output / "masks")
    avseg.save_overlay(result, options.output / "overlay.mp4")
    print(f"{len(result.masks)} masks and overlay.mp4 are in {options.output}.")

    # Models that predict no names, such as av2t-sam-small, have `sources` None.
    for source in result.sources or ():
        times_s = result.frame_times[source.masks.any(axis=(1, 2))]
        print(f"{source.name}: {len(times_s)} frames, {times_s[0]:.1f} to {times_s[-1]:.1f} s")


if __name__ == "__main__":
    main()
