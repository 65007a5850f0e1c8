"""What a clip shows and sounds of besides its masks, as far as its data set tells.

SynthAVS can be drawn anew with everything that is known about it; of S4 the category says enough;
MS3 tells nothing.
"""

import json
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.synthetic.clips import SyntheticClip, Voice
from avseg.datasets.synthetic.recipe import GENERATOR_VERSION, WORLDS, Recipe, draw_clip
from avseg.datasets.synthetic.sounds import SAMPLE_RATE
from avseg.datasets.synthetic.writer import RECIPE_FILE

_log = logging.getLogger(__name__)

#: Mean difference of grey levels up to which two frames are the same one; AVSS's are JPEGs.
_SAME_FRAME = 4.0


@dataclass(frozen=True)
class Contents:
    """Categories of one clip.

    Attributes:
        visible: What is in the picture, sounding or not.
        heard: What sounds, in the picture or off the screen.
    """

    visible: frozenset[str]
    heard: frozenset[str]


@dataclass(frozen=True)
class Generated:
    """A split of SynthAVS, to be drawn anew.

    Attributes:
        recipe: Of the data set.
        split: Name of the split.
    """

    recipe: Recipe
    split: str

    @property
    def voice(self) -> Voice:
        """Which synthesis parameters the split's sounds have."""
        return WORLDS[self.split].voice

    def draw(self, index: int) -> SyntheticClip:
        """Draw a clip with all that is known about it.

        Args:
            index: Its number in the split.

        Returns:
            The clip.
        """
        return draw_clip(self.recipe, self.split, index)

    def all_objects(self, index: int) -> NDArray[np.bool_]:
        """Mark every object of a clip, sounding or not.

        Args:
            index: Its number in the split.

        Returns:
            Masks, (T, H, W).
        """
        clip = self.draw(index)
        return np.stack(
            [clip.frame(second)[1] > 0 for second in range(len(clip.audio) // SAMPLE_RATE)]
        )


def find_generated(split: AVSBench) -> Generated | None:
    """Find out whether a split is of SynthAVS and can be drawn anew.

    Args:
        split: The split.

    Returns:
        What draws it; None if it is no SynthAVS, not a subset as it was drawn, or one that another
        version has drawn.
    """
    try:
        facts = json.loads((split.folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if split.subset != facts.get("subset"):  # a part of it, other tables or other sounds
        return None
    if facts.get("generator_version") != GENERATOR_VERSION or split.split not in WORLDS:
        _log.warning("%s: made by another version of the generator", split.folder)
        return None
    counts = facts["clips"]
    recipe = Recipe(
        subset=facts["subset"],
        clips=counts["train"],
        seed=facts["seed"],
        evaluation_clips=counts["val"],
        side=facts["side"],
    )
    generated = Generated(recipe, split.split)
    frame, _ = generated.draw(0).frame(0)
    there = split[0].clip.frames[0]
    if frame.shape != there.shape or np.abs(frame.astype(float) - there).mean() > _SAME_FRAME:
        _log.warning("%s: the generator draws other clips than these", split.folder)
        return None
    return generated


def read_contents(split: AVSBench, generated: Generated | None) -> list[Contents] | None:
    """Say what each clip of a split shows and sounds of.

    Args:
        split: The split.
        generated: What draws it, if anything does.

    Returns:
        Contents of each clip; None if the data set does not tell.
    """
    if generated is not None:
        return [_contents(generated.draw(index)) for index in range(len(split))]
    if split.subset == "s4":
        names = [frozenset({entry.category or ""}) for entry in split.entries]
        return [Contents(visible=name, heard=name) for name in names]
    return None


def _contents(clip: SyntheticClip) -> Contents:
    return Contents(
        visible=frozenset(thing.category for thing in clip.scene.objects),
        heard=frozenset(source.category for source in clip.sources),
    )
