"""What a clip shows and sounds of besides its masks, as far as its data set tells.

SynthAVS can be drawn anew with everything that is known about it. AVSBench names what sounds and is
seen (S4 its category, AVSS its objects, and AVSS's table those of MS3), not what is silent in the
picture; so whatever is often seen with it counts as visible too.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import LAYOUTS, find_folder
from avseg.datasets.metadata import NO_SOURCE, read_metadata
from avseg.errors import DatasetError
from avseg.synthavs.clips import (
    GENERATOR_VERSION,
    SPLIT_DOMAINS,
    SynthavsOptions,
    SyntheticClip,
    draw_clip,
)
from avseg.synthavs.sounds import ParameterSplit
from avseg.synthavs.writer import OPTIONS_FILE

_log = logging.getLogger(__name__)

#: Mean difference of grey levels up to which two frames are the same one: AVSS's are JPEGs, which
#: lose 2 to 3 at 224 x 224 pixels and up to 9 at 32 x 32; frames of other clips differ by over 70.
_SAME_FRAME = 16.0

#: Kinds of the categories of S4 and of AVSS. AVSBench-Robust (arXiv:2502.00358) has the same four.
KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "music": "playing_acoustic_guitar playing_glockenspiel playing_piano playing_tabla "
        "playing_ukulele playing_violin accordion bassoon cello clarinet drum erhu flute guitar "
        "guzheng handpan harmonica harp marimba piano pipa saxophone sitar sorna tabla trombone "
        "trumpet tuba ukulele violin",
        "human": "baby_laughter female_singing male_speech baby boy girl man woman",
        "animal": "cat_meowing coyote_howling dog_barking horse_clip-clop lions_roaring "
        "mynah_bird_singing bird cat dog donkey duck elephant goose hen horse leopard lion parrot "
        "pig sheep squirrel tiger wolf",
        "device": "ambulance_siren cap_gun_shooting chainsawing_trees driving_buses helicopter "
        "lawn_mowing race_car typing_on_computer_keyboard airplane axe bell boat bus car clipper "
        "clock emergency-car frying-food gun hair-dryer keyboard missile-rocket motorcycle mower "
        "saw tank tractor train truck utv vacuum-cleaner",
    }.items()
}

#: Kinds that a picture of one kind often shows besides, whether they sound or not: a player with
#: the instrument, an owner with the dog, a driver with the car.
SEEN_WITH: dict[str, tuple[str, ...]] = {
    "music": ("human",),
    "human": ("music",),
    "animal": ("human",),
    "device": ("human",),
}


@dataclass(frozen=True)
class ClipContents:
    """Categories of one clip.

    Attributes:
        visible: What is in the picture, or may be, sounding or not.
        heard: What sounds, in the picture or off the screen.
    """

    visible: frozenset[str]
    audible: frozenset[str]

    @property
    def sounding(self) -> frozenset[str]:
        """What sounds in the picture."""
        return (self.audible & self.visible) - {NO_SOURCE}


@dataclass(frozen=True)
class SynthavsSplit:
    """A split of SynthAVS, to be drawn anew.

    Attributes:
        options: Of the data set.
        split: Name of the split.
    """

    options: SynthavsOptions
    split: str

    @property
    def parameter_split(self) -> ParameterSplit:
        """Which synthesis parameters the split's sounds have."""
        return SPLIT_DOMAINS[self.split].parameter_split

    def draw(self, index: int) -> SyntheticClip:
        """Draw a clip with all that is known about it.

        Args:
            index: Its number in the split.

        Returns:
            The clip.
        """
        return draw_clip(self.options, self.split, index)

    def all_objects(self, index: int) -> NDArray[np.bool_]:
        """Mark every object of a clip, sounding or not.

        Args:
            index: Its number in the split.

        Returns:
            Masks, (T, H, W).
        """
        clip = self.draw(index)
        return np.stack([clip.frame(second)[1] > 0 for second in range(clip.seconds)])


def find_synthavs_split(split: AVSBench) -> SynthavsSplit | None:
    """Find out whether a split is of SynthAVS and can be drawn anew.

    Args:
        split: The split.

    Returns:
        What draws it; None if it is no SynthAVS, not a subset as it was drawn, or one that another
        version has drawn.
    """
    try:
        facts = json.loads((split.folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if split.subset != facts.get("subset"):  # a part of it, other tables or other sounds
        return None
    if facts.get("generator_version") != GENERATOR_VERSION or split.split not in SPLIT_DOMAINS:
        _log.warning("%s: made by another version of the generator", split.folder)
        return None
    counts = facts["clips"]
    options = SynthavsOptions(
        subset=facts["subset"],
        clips=counts["train"],
        seed=facts["seed"],
        evaluation_clips=counts["val"],
        side=facts["side"],
    )
    generated = SynthavsSplit(options, split.split)
    frame, _ = generated.draw(0).frame(0)
    there = split[0].clip.frames[0]
    if frame.shape != there.shape or np.abs(frame.astype(float) - there).mean() > _SAME_FRAME:
        _log.warning("%s: the generator draws other clips than these", split.folder)
        return None
    return generated


def read_contents(split: AVSBench, generated: SynthavsSplit | None) -> list[ClipContents] | None:
    """Say what each clip of a split shows and sounds of.

    Args:
        split: The split.
        generated: What draws it, if anything does.

    Returns:
        ClipContents of each clip; None if the data set does not tell.
    """
    if generated is not None:
        return [_contents(generated.draw(index)) for index in range(len(split))]
    named = _named_objects(split)
    if named is None:
        return None
    return [
        ClipContents(visible=_may_show(names), audible=names) for names in map(frozenset, named)
    ]


def find_off_screen_audio(contents: Sequence[ClipContents], index: int) -> int | None:
    """Choose a clip with a sound that nothing in another's picture makes.

    Args:
        contents: Of all clips.
        index: Number of the clip with the picture; also the seed of the choice.

    Returns:
        Number of the clip with the sound; None if there is none.
    """
    visible = contents[index].visible
    foreign = [
        number
        for number, other in enumerate(contents)
        if number != index and other.audible and not other.audible & visible
    ]
    return int(np.random.default_rng(index).choice(foreign)) if foreign else None


def _named_objects(split: AVSBench) -> list[tuple[str, ...]] | None:
    """Name what sounds in each clip, as the table says, or for MS3 the table of AVSS beside it."""
    release = LAYOUTS[split.subset].release
    if release == "s4":
        return [(entry.category or NO_SOURCE,) for entry in split.entries]
    entries = split.entries
    if release == "ms3":
        try:
            table = read_metadata(find_folder(split.folder.parent, "avss"), "avss")
        except DatasetError:
            return None
        known = {entry.name: entry for entry in table}
        if not all(entry.name in known for entry in entries):
            return None
        entries = [known[entry.name] for entry in entries]
    return [tuple((entry.category or NO_SOURCE).split("_")) for entry in entries]


def _may_show(names: frozenset[str]) -> frozenset[str]:
    """Name all categories of the kinds that are there, and of those often seen with them."""
    kinds = {kind for kind, categories in KINDS.items() if names & categories}
    shown = kinds.union(*(SEEN_WITH[kind] for kind in kinds))
    return names.union({NO_SOURCE}, *(KINDS[kind] for kind in shown))


def _contents(clip: SyntheticClip) -> ClipContents:
    return ClipContents(
        visible=frozenset(thing.category for thing in clip.scene.objects),
        audible=frozenset(source.category for source in clip.sound_events),
    )
