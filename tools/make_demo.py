"""Synthesise the clip of `make demo` and its ground-truth masks.

A SynthAVS scene of three objects. Their art styles and the parameters of their sounds do not occur
in training. They start and stop to sound at whole seconds; the first and the last second are silent.
The scene was selected as one that the packaged model segments well, so the demo shows what the
method does, not how accurate the model is on average.

    python tools/make_demo.py examples/
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from avseg.export import encode_mask
from avseg.synthavs.categories import UNSEEN_STYLES
from avseg.synthavs.clips import SoundEvent, SyntheticClip, make_stems
from avseg.synthavs.scenes import (
    MovingObject,
    Scene,
    choose_sprite,
    make_background,
    place_object,
)
from avseg.synthavs.video import FRAMES_PER_SECOND, scene_time, write_video

SEED = 92866
SIDE = 320
SECONDS = 10
#: Range of an object's longer side, as a share of the frame side.
SIZES = (0.38, 0.46)
#: Category -> position (x, y) as a share of the frame side, and the seconds in which it sounds.
CAST: dict[str, tuple[tuple[float, float], range]] = {
    "bus": ((0.25, 0.32), range(1, 4)),
    "frog": ((0.75, 0.34), range(3, 6)),
    "boat": ((0.48, 0.74), range(6, 9)),
}


def main(folder: Path) -> None:
    """Write `demo.mp4` and `demo_truth.json`.

    Args:
        folder: Folder for both files.
    """
    clip = make_demo()
    folder.mkdir(exist_ok=True)
    write_video(clip, folder / "demo.mp4")
    truth = []
    for i in range(SECONDS * FRAMES_PER_SECOND):
        time_s = i / FRAMES_PER_SECOND
        _, numbers = clip.scene.render(scene_time(i))
        mask = np.isin(numbers, list(clip.sounding(int(time_s))))
        second = [
            clip.sounding(int(t)) for t in (max(0, time_s - 0.5), min(time_s + 0.5, SECONDS - 1e-6))
        ]
        entry = {"time_s": round(time_s, 3), "settled": second[0] == second[1]}
        truth.append(entry | {"rle": encode_mask(mask)})
    lines = ",\n".join(json.dumps(entry) for entry in truth)
    (folder / "demo_truth.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def make_demo() -> SyntheticClip:
    """Build the scene and the sounds of its objects."""
    rng = np.random.default_rng(SEED)
    objects = tuple(
        calm(place_object(rng, choose_sprite(rng, category, UNSEEN_STYLES), place, SIZES))
        for category, (place, _) in CAST.items()
    )
    scene = Scene(make_background(rng, SIDE), objects)
    sources = tuple(
        SoundEvent(category, number, np.isin(np.arange(SECONDS), seconds))
        for number, (category, (_, seconds)) in enumerate(CAST.items(), start=1)
    )
    stems = make_stems(rng, sources, "test", SECONDS)
    return SyntheticClip(scene, sources, SECONDS, lambda: stems)


def calm(moving: MovingObject) -> MovingObject:
    """Slow an object down, so that it stays in the frame for all ten seconds."""
    x, y = moving.velocity
    return replace(
        moving, velocity=(0.3 * x, 0.3 * y), growth=0.2 * moving.growth, spin=0.3 * moving.spin
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
