"""Draw the picture at the top of the README from the overlay that `make demo` wrote.

python tools/demo_picture.py demo_output/demo/overlay.mp4 docs/images/demo.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from avseg.media import read_clip

#: Times of the frames in the picture, in seconds.
TIMES_S = (0.4, 2.0, 3.5, 7.5)
GAP = 6  # white pixels between two frames


def main(overlay: Path, picture: Path) -> None:
    """Draw frames of the overlay side by side.

    Args:
        overlay: The overlay video.
        picture: The PNG file to write.
    """
    clip = read_clip(overlay, frames_per_second=None)
    chosen = [int(np.abs(clip.frame_times - time_s).argmin()) for time_s in TIMES_S]
    height, width = clip.frames.shape[1:3]
    sheet = Image.new("RGB", (len(chosen) * (width + GAP) - GAP, height), "white")
    for place, index in enumerate(chosen):
        sheet.paste(Image.fromarray(clip.frames[index]), (place * (width + GAP), 0))
    picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
