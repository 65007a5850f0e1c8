"""Annotated clips with what frozen towers say of them, for tasks of any family.

Features are computed before training, those that the store does not hold yet. Frames, masks and
features are read when they are asked for, so that data may be larger than memory; nothing may
change on disk meanwhile. T frames of a clip that are read, the annotated ones or all; H x W size of
a frame.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AVSBench
from avseg.synthavs.contents import ClipContents
from avseg.training.feature_cache import Features, FeatureStore, FrozenTower, hash_files

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddedClip:
    """Frames of a clip, as training needs them.

    Attributes:
        frames: (T, H, W, 3) uint8.
        masks: (T, H, W) bool, empty where none is known.
        annotated: Frames whose mask is known, (T,) bool.
        features: Of each tower by its name, one tensor or several, (T, ...) each.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    features: Mapping[str, Features]


class EmbeddedClips(Dataset[EmbeddedClip]):
    """The clips of some splits, with the features of frozen towers.

    Args:
        splits: The splits.
        towers: The towers, with their weights in place.
        store: Keeps the features; what it lacks is computed here.
        window_s: Sound that belongs to a frame, in seconds.
        whole: Whether clips have all of their frames, or those alone that are annotated.

    Raises:
        DatasetError: If a file of the data is missing or damaged.
        OutputError: If the store cannot keep features.
    """

    def __init__(
        self,
        splits: Sequence[AVSBench],
        towers: Sequence[FrozenTower],
        store: FeatureStore,
        window_s: float,
        *,
        whole: bool = False,
    ) -> None:
        self._clips = [(split, index) for split in splits for index in range(len(split))]
        self._store = store
        self._whole = whole
        self._hearing = [tower.name for tower in towers if tower.source == "sound"]
        self._keys: list[dict[str, str]] = [{} for _ in self._clips]
        computed = 0
        # In an order of its own, so that processes that fill a cache at once share the work. The
        # generators that training draws from are left alone.
        order = random.SystemRandom().sample(range(len(self)), len(self))
        for count, index in enumerate(order, start=1):
            self._keys[index] = self._name_features(index, towers)
            computed += self._compute_missing(index, towers, window_s)
            if count % max(1, len(self) // 10) == 0:
                _log.info("features: %d of %d clips, %d computed", count, len(self), computed)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> EmbeddedClip:
        return self.read(index, slice(None))

    def seconds(self, index: int) -> range:
        """Number the annotated frames of a clip, which come first."""
        split, place = self._clips[index]
        return range(split.entries[place].annotated_seconds)

    def read_seconds(self, index: int) -> range:
        """Number the frames of a clip that are read."""
        split, place = self._clips[index]
        return range(split.entries[place].seconds) if self._whole else self.seconds(index)

    def read(self, index: int, rows: slice) -> EmbeddedClip:
        """Read some frames of a clip.

        Args:
            index: Number of the clip.
            rows: Which of the frames that `read_seconds` numbers.

        Returns:
            These frames with their features.

        Raises:
            DatasetError: If a file of the data is missing or damaged.
        """
        split, place = self._clips[index]
        seconds = self.read_seconds(index)[rows]
        frames, masks = split.read_frames(place, seconds)
        annotated = np.array([second in self.seconds(index) for second in seconds])
        return EmbeddedClip(frames, masks, annotated, self.read_features(index, rows))

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the masks of a clip's annotated frames, (n, H, W)."""
        split, place = self._clips[index]
        return split.read_frames(place, self.seconds(index))[1]

    def read_features(self, index: int, rows: slice) -> dict[str, Features]:
        """Read what the towers say of some frames of a clip, by their names."""
        return {name: self._store.read(key, rows) for name, key in self._keys[index].items()}

    def read_heard(self, index: int, rows: slice) -> dict[str, Features]:
        """Read the same of the towers that hear alone."""
        keys = self._keys[index]
        return {name: self._store.read(keys[name], rows) for name in self._hearing}

    def _name_features(self, index: int, towers: Sequence[FrozenTower]) -> dict[str, str]:
        """Find the keys of a clip's features, for which its files are read but not decoded."""
        split, place = self._clips[index]
        seconds = self.read_seconds(index)
        contents: dict[str, str] = {}
        for source in {tower.source for tower in towers}:
            if source == "frames":
                paths = [split.frame_path(place, second) for second in seconds]
                contents[source] = hash_files(paths, seconds)
            else:  # a window may reach beyond its second, up to the end of the clip
                whole = split.entries[place].seconds
                contents[source] = hash_files([split.audio_path(place)], [whole, *seconds])
        return {tower.name: tower.key(contents[tower.source]) for tower in towers}

    @torch.no_grad()
    def _compute_missing(self, index: int, towers: Sequence[FrozenTower], window_s: float) -> bool:
        """Compute the features of a clip that the store does not hold; say whether any."""
        keys = self._keys[index]
        missing = [tower for tower in towers if not self._store.holds(keys[tower.name])]
        if not missing:
            return False
        split, place = self._clips[index]
        clip, count = split[place].clip, len(self.read_seconds(index))
        inputs: dict[str, NDArray[Any]] = {
            "frames": clip.frames[:count],
            "sound": clip.audio_windows(window_s)[:count],
        }
        for tower in missing:
            self._store.write(keys[tower.name], tower.compute(inputs[tower.source]))
        return True


class Place(NamedTuple):
    """A frame among many clips.

    Attributes:
        clip: Number of the clip.
        frame: Number of the frame among those of the clip that are read.
    """

    clip: int
    frame: int

    @property
    def rows(self) -> slice:
        """The frame alone."""
        return slice(self.frame, self.frame + 1)


class WholeClip(NamedTuple):
    """A clip among many.

    Attributes:
        clip: Number of the clip.
    """

    clip: int

    @property
    def rows(self) -> slice:
        """All of its frames."""
        return slice(None)


#: A frame or a whole clip.
AnyPlace = TypeVar("AnyPlace", Place, WholeClip)


class Dub(NamedTuple, Generic[AnyPlace]):
    """A frame or a clip with a sound that nothing in its picture makes.

    Attributes:
        picture: The frame or the clip.
        sound: The one that lends its sound.
    """

    picture: AnyPlace
    sound: AnyPlace


class Excerpts(Dataset[EmbeddedClip]):
    """Frames or clips; then the dubbed ones.

    Args:
        clips: The clips.
        places: What is taken of them.
        dubs: What is added with the sound of another, and nothing to mark.
    """

    def __init__(
        self,
        clips: EmbeddedClips,
        places: Sequence[Place | WholeClip],
        dubs: Sequence[Dub[Place]] | Sequence[Dub[WholeClip]] = (),
    ) -> None:
        self.clips = clips
        self.places = places
        self.dubs = dubs

    def __len__(self) -> int:
        return len(self.places) + len(self.dubs)

    def __getitem__(self, index: int) -> EmbeddedClip:
        if index < len(self.places):
            place = self.places[index]
            return self.clips.read(place.clip, place.rows)
        dub = self.dubs[index - len(self.places)]
        clip = self.clips.read(dub.picture.clip, dub.picture.rows)
        sound = self.clips.read_heard(dub.sound.clip, dub.sound.rows)
        silent = np.zeros_like(clip.masks)
        return replace(clip, masks=silent, features={**clip.features, **sound})


class Frames(Excerpts):
    """Every annotated frame of the clips, as a clip of one frame; then the dubbed ones.

    Args:
        clips: The clips.
        dubs: Frames added with the sound of another, and nothing to mark.
    """

    def __init__(self, clips: EmbeddedClips, dubs: Sequence[Dub[Place]] = ()) -> None:
        super().__init__(clips, find_places(clips), dubs)


class AnnotatedClips(Protocol):
    """Clips whose annotated frames are known."""

    def __len__(self) -> int: ...

    def seconds(self, index: int) -> range:
        """Number the annotated frames of a clip."""

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the masks of a clip's annotated frames, (T, H, W)."""


def draw_dubs(
    clips: AnnotatedClips, contents: Sequence[ClipContents], share: float
) -> list[Dub[Place]]:
    """Pair frames with sounds from outside their pictures.

    The pairs depend on the data alone. A frame for which no sound can be found is left out.

    Args:
        clips: The clips.
        contents: What each of them shows and sounds of.
        share: How many pairs for each frame of the clips, at least 0.

    Returns:
        The pairs.

    Raises:
        ValueError: If the share is below 0.
    """
    places = find_places(clips)
    count = _count(share, places)
    is_sounding = np.concatenate([clips.read_masks(c).any((1, 2)) for c in range(len(clips))])
    sounding = [place for place, sounds in zip(places, is_sounding, strict=True) if sounds]
    return _draw(places, sounding, contents, count)


def draw_clip_dubs(contents: Sequence[ClipContents], share: float) -> list[Dub[WholeClip]]:
    """Pair clips with the sound of others of which nothing is in the picture.

    The pairs depend on the data alone. A clip for which no sound can be found is left out.

    Args:
        contents: What each of the clips, with equally many frames, shows and sounds of.
        share: How many pairs for each clip, at least 0.

    Returns:
        The pairs.

    Raises:
        ValueError: If the share is below 0.
    """
    clips = [WholeClip(number) for number in range(len(contents))]
    sounding = [clip for clip in clips if contents[clip.clip].audible]
    return _draw(clips, sounding, contents, _count(share, clips))


def _count(share: float, places: Sequence[AnyPlace]) -> int:
    if share < 0:
        raise ValueError(f"off_screen must be at least 0, got {share}.")
    return round(share * len(places))


def _draw(
    places: Sequence[AnyPlace],
    sounding: Sequence[AnyPlace],
    contents: Sequence[ClipContents],
    count: int,
) -> list[Dub[AnyPlace]]:
    """Draw pictures, and for each a sound of which nothing is in it, if there is one."""
    rng = np.random.default_rng(0)
    dubs = []
    for choice in rng.integers(len(places), size=count):
        picture = places[choice]
        visible = contents[picture.clip].visible
        lenders = (sounding[i] for i in rng.permutation(len(sounding)))
        sound = next((p for p in lenders if not contents[p.clip].audible & visible), None)
        if sound is not None:
            dubs.append(Dub(picture, sound))
    return dubs


def find_places(clips: AnnotatedClips) -> list[Place]:
    """List all annotated frames of some clips."""
    return [Place(c, t) for c in range(len(clips)) for t in range(len(clips.seconds(c)))]
