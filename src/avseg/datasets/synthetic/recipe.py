"""What a SynthAVS data set is made from: its options, its splits, and each of its clips.

Clip i of a split depends on the seed, the subset, the split and i alone.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from avseg.datasets.layout import LAYOUTS, SECONDS, Release
from avseg.datasets.synthetic.categories import (
    SEEN,
    SEEN_STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    ZERO_SHOT,
)
from avseg.datasets.synthetic.clips import Kind, SyntheticClip, World, make_clip

#: Raised when the same recipe gives other clips than before.
GENERATOR_VERSION = 2

#: What the clips of each split are made from. AVSBench has the first three splits; who reads only
#: those does not notice the others.
WORLDS: dict[str, World] = {
    "train": World(SEEN, TRAIN_STYLES, "train"),
    "val": World(SEEN, SEEN_STYLES, "test"),
    "test": World(SEEN, UNSEEN_STYLES, "test"),
    "test_seen": World(SEEN, SEEN_STYLES, "test"),
    "test_zero_shot": World(ZERO_SHOT, SEEN_STYLES, "test"),
}

_KINDS: dict[str, Kind] = {"v1s": "single", "v1m": "multi", "v2": "multi"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the bytes of a data set.

    Attributes:
        subset: "s4" (one source, only the first mask in training), "ms3" (several sources that
            start and stop, silent objects, sounds from off the screen) or "avss" (both, and clips
            of 10 s, with class labels).
        clips: Training clips.
        seed: Of all chance.
        evaluation_clips: Clips of each other split; by default a quarter of the training clips,
            but at least 10 and at most 100.
        side: Of the square frames, in pixels.
        videos: Whether each clip is also written as an mp4 file with sound.

    Raises:
        ValueError: If a number is out of range or there is no such subset.
    """

    subset: Release
    clips: int
    seed: int = 0
    evaluation_clips: int | None = None
    side: int = 224
    videos: bool = False

    def __post_init__(self) -> None:
        if self.subset not in get_args(Release):
            subsets = ", ".join(get_args(Release))
            raise ValueError(f"subset must be one of {subsets}, got {self.subset!r}.")
        bounds = {"clips": 1, "evaluation_clips": 1, "seed": 0, "side": 32}
        for name, least in bounds.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if self.videos and self.side % 2:
            raise ValueError(f"side must be even to write videos (h264), got {self.side}.")

    def counts(self) -> dict[str, int]:
        """Return how many clips each split has."""
        others = self.evaluation_clips
        if others is None:
            others = min(max(self.clips // 4, 10), 100)
        return {split: self.clips if split == "train" else others for split in WORLDS}


def draw_clip(recipe: Recipe, split: str, index: int) -> SyntheticClip:
    """Make one clip of a data set anew, with all that is known about it.

    Args:
        recipe: Of the data set.
        split: Name of the split.
        index: Number of the clip in its split.

    Returns:
        The clip that `write_synthavs` writes.
    """
    subset_number = get_args(Release).index(recipe.subset)
    split_number = tuple(WORLDS).index(split)
    part = part_of(recipe.subset, index)
    return make_clip(
        np.random.default_rng((recipe.seed, subset_number, split_number, index)),
        WORLDS[split],
        _KINDS[part],
        recipe.side,
        SECONDS[part],
    )


def part_of(subset: Release, index: int) -> str:
    """Say which part of AVSBench a clip is of; in AVSS the parts take turns.

    Args:
        subset: Which subset.
        index: Number of the clip in its split.

    Returns:
        "v1s", "v1m" or "v2".
    """
    parts = LAYOUTS[subset].parts
    return parts[index % len(parts)]
