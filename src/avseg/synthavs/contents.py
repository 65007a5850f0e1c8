"""Visible and audible categories of clips; masks do not contain this information.

Clips of SynthAVS can be rendered again with all their categories. AVSBench's metadata lists only
the visible objects that sound (in S4 the category; in AVSS the objects, also for the clips of MS3),
not the silent objects. Categories that are often visible together with a sounding one therefore
count as visible too, so that none of them is chosen as an off-screen sound.

T is the number of frames, H x W their height and width in pixels.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import LAYOUTS, find_folder
from avseg.datasets.metadata import NO_SOURCE, read_metadata
from avseg.errors import DatasetError
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.generators import GENERATORS, SynthavsOptions, draw_clip
from avseg.synthavs.sounds import ParameterSplit
from avseg.synthavs.writer import OPTIONS_FILE

logger = logging.getLogger(__name__)

#: Largest mean difference of grey levels between a stored frame and the same frame rendered again.
#: JPEG compression in AVSS changes the levels by 2 to 3 at 224 x 224 pixels, and by up to 9 at
#: 32 x 32; frames of different clips differ by more than 70.
_SAME_FRAME = 16.0

#: Groups of the categories of S4 and AVSS; the same four as in AVSBench-Robust (arXiv:2502.00358).
CATEGORY_GROUPS: dict[str, frozenset[str]] = {
    group: frozenset(names.split())
    for group, names in {
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

#: Groups that are often visible together with a group, sounding or silent: a player with the
#: instrument, an owner with the dog, a driver with the car.
OFTEN_VISIBLE_WITH: dict[str, tuple[str, ...]] = {
    "music": ("human",),
    "human": ("music",),
    "animal": ("human",),
    "device": ("human",),
}


@dataclass(frozen=True)
class ClipContents:
    """Categories of one clip.

    Attributes:
        visible: Categories that are or may be visible, sounding or silent.
        audible: Categories that sound, visible or off-screen.
    """

    visible: frozenset[str]
    audible: frozenset[str]

    @property
    def sounding(self) -> frozenset[str]:
        """Categories that sound and are visible."""
        return (self.audible & self.visible) - {NO_SOURCE}


@dataclass(frozen=True)
class SynthavsSplit:
    """Split of SynthAVS that can be rendered again.

    Attributes:
        options: Options of the data set.
        split: Name of the split.
    """

    options: SynthavsOptions
    split: str

    @property
    def parameter_split(self) -> ParameterSplit:
        """Ranges from which the synthesis parameters of the sounds are drawn."""
        return self.options.generator.domains[self.split].parameter_split

    def draw(self, index: int) -> SyntheticClip:
        """Build a clip again with its scene and its sound events.

        Args:
            index: Index of the clip in the split.

        Returns:
            The clip.
        """
        return draw_clip(self.options, self.split, index)

    def all_objects(self, index: int) -> NDArray[np.bool_]:
        """Render the masks of all objects of a clip, sounding or silent.

        Args:
            index: Index of the clip in the split.

        Returns:
            Masks, (T, H, W) bool.
        """
        clip = self.draw(index)
        return np.stack([clip.frame(second)[1] > 0 for second in range(clip.seconds)])


def find_synthavs_split(split: AVSBench) -> SynthavsSplit | None:
    """Return the generator of a split of SynthAVS, if its clips can be rendered again.

    Args:
        split: The split.

    Returns:
        The split of SynthAVS; None if the data set is not SynthAVS, is opened as a subset other
        than the written one, or was written by another version of the generator.
    """
    facts = _read_facts(split.folder)
    # Opened as a component of AVSS, with the metadata of AVS-V3, or with negative audio.
    if split.subset != facts.get("subset"):
        return None
    version = facts.get("generator_version")
    generator = GENERATORS.get(version) if isinstance(version, int) else None  # type: ignore[call-overload]
    if generator is None or split.split not in generator.domains:
        logger.warning(
            "%s: written by another version of the generator; it cannot be rendered again",
            split.folder,
        )
        return None
    options = _options(facts)
    stored = split[0].clip.frames[0]
    if options is None or stored.shape[:2] != (options.side, options.side):
        logger.warning(
            "%s: %s does not describe these clips; they cannot be rendered again",
            split.folder,
            OPTIONS_FILE,
        )
        return None
    # The options do not show whether files were changed, so the first frame is compared.
    generated = SynthavsSplit(options, split.split)
    frame, _ = generated.draw(0).frame(0)
    if np.abs(frame.astype(float) - stored).mean() > _SAME_FRAME:
        logger.warning(
            "%s: the generator renders other clips than these; they cannot be rendered again",
            split.folder,
        )
        return None
    return generated


def _read_facts(folder: Path) -> dict[str, Any]:
    """Read the options file of a data set; empty if there is none, or it is no mapping."""
    try:
        facts = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _options(facts: dict[str, Any]) -> SynthavsOptions | None:
    """Return the options of a data set; None if one is missing or wrong."""
    try:
        counts = facts["clips"]
        numbers = (counts["train"], counts["val"], facts["seed"], facts["side"])
        if not all(type(number) is int for number in numbers):
            return None
        clips, evaluation_clips, seed, side = numbers
        return SynthavsOptions(
            subset=facts["subset"],
            clips=clips,
            seed=seed,
            evaluation_clips=evaluation_clips,
            side=side,
            generator_version=facts["generator_version"],
        )
    except (LookupError, TypeError, ValueError):
        return None


def read_contents(split: AVSBench, generated: SynthavsSplit | None) -> list[ClipContents] | None:
    """Return the visible and audible categories of each clip of a split.

    Args:
        split: The split.
        generated: The same split of SynthAVS; None for other data.

    Returns:
        Contents of each clip; None if the metadata do not list them.
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
    """Choose a clip whose audio has only off-screen sounds for another clip.

    Args:
        contents: Contents of all clips.
        index: Index of the clip with the frames; also the random seed.

    Returns:
        Index of a clip of whose audible categories none is visible in the clip with the frames;
        None if there is no such clip.
    """
    visible = contents[index].visible
    candidates = [
        number
        for number, other in enumerate(contents)
        if number != index and other.audible and not other.audible & visible
    ]
    return int(np.random.default_rng(index).choice(candidates)) if candidates else None


def _named_objects(split: AVSBench) -> list[tuple[str, ...]] | None:
    """Return the sounding objects of each clip; those of MS3 are listed in AVSS's metadata."""
    release = LAYOUTS[split.subset].release
    if release == "s4":
        return [(entry.category or NO_SOURCE,) for entry in split.entries]
    entries = split.entries
    if release == "ms3":
        try:
            semantic = read_metadata(find_folder(split.folder.parent, "avss"), "avss")
        except DatasetError:
            return None
        known = {entry.name: entry for entry in semantic}
        if not all(entry.name in known for entry in entries):
            return None
        entries = [known[entry.name] for entry in entries]
    return [tuple((entry.category or NO_SOURCE).split("_")) for entry in entries]


def _may_show(names: frozenset[str]) -> frozenset[str]:
    """Return the categories that may be visible: those of the same and of related groups."""
    groups = {group for group, categories in CATEGORY_GROUPS.items() if names & categories}
    visible = groups.union(*(OFTEN_VISIBLE_WITH[group] for group in groups))
    return names.union({NO_SOURCE}, *(CATEGORY_GROUPS[group] for group in visible))


def _contents(clip: SyntheticClip) -> ClipContents:
    return ClipContents(
        visible=frozenset(shown.category for shown in clip.scene.objects),
        audible=frozenset(event.category for event in clip.sound_events),
    )
