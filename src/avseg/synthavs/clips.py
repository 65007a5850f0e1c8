"""Clips of SynthAVS: which objects a scene shows, which of them sound, and when.

Sources start and stop at whole seconds, and every sound is audible in each second of its run, so
what sounds in a second is exact. T seconds, S samples, N sources, R side of the frame in pixels.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.layout import LAYOUTS, SECONDS, Release
from avseg.media.clip import FRAME_POSITION
from avseg.synthavs.categories import (
    SEEN,
    SEEN_STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    ZERO_SHOT,
)
from avseg.synthavs.scenes import (
    MovingObject,
    Scene,
    choose_sprite,
    make_background,
    place_object,
    render,
    spread_positions,
)
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit, synthesize

ClipType = Literal["single", "multi"]

#: Objects of a clip with several sources -> probabilities that 1, 2, ... of them sound. More sound
#: at some time in a clip than at any one time: half of them do not sound for all of it.
_SOUNDING = {1: (1.0,), 2: (0.7, 0.3), 3: (0.4, 0.45, 0.15), 4: (0.25, 0.5, 0.25)}


@dataclass(frozen=True)
class SplitDomain:
    """What the clips of a split are made from.

    Attributes:
        categories: Categories of objects and sounds.
        styles: Art styles.
        parameter_split: Which synthesis parameters the sounds have.
    """

    categories: tuple[str, ...]
    styles: tuple[str, ...]
    parameter_split: ParameterSplit


@dataclass(frozen=True)
class SoundEvent:
    """One sound of a clip.

    Attributes:
        category: What sounds.
        object_number: Number of its object in the scene, 1 to N; 0 if it is off the screen.
        active: Seconds in which it sounds, (T,) bool.
    """

    category: str
    object_number: int
    active: NDArray[np.bool_]


@dataclass(frozen=True)
class SyntheticClip:
    """A scene and its sound.

    Attributes:
        scene: What can be seen.
        sound_events: What can be heard.
        seconds: T, the length of the clip.
        synthesize_stems: Makes the stems, the same whenever it is called.
    """

    scene: Scene
    sound_events: tuple[SoundEvent, ...]
    seconds: int
    synthesize_stems: Callable[[], NDArray[np.float32]]

    @cached_property
    def stems(self) -> NDArray[np.float32]:
        """The noise floor, then each source alone, (1 + N, S) float32 at `SAMPLE_RATE`.

        Made when asked for, as that takes several times as long as all else.
        """
        return self.synthesize_stems()

    @property
    def audio(self) -> NDArray[np.float32]:
        """Mixture of the stems, (S,) float32 in [-1, 1]."""
        return mix(self.stems)

    def without(self, category: str) -> "SyntheticClip":
        """Take a category out of the sound; all else, chance included, stays as it is.

        Args:
            category: What shall no longer sound.

        Returns:
            The same scene with the other sources.
        """
        kept = [number for number, s in enumerate(self.sound_events) if s.category != category]
        stems = self.stems[[0, *(number + 1 for number in kept)]]
        return SyntheticClip(
            scene=self.scene,
            sound_events=tuple(self.sound_events[number] for number in kept),
            seconds=self.seconds,
            synthesize_stems=lambda: stems,
        )

    def sounding(self, second: int) -> dict[int, str]:
        """Return the objects that sound in a second.

        Args:
            second: Number of the second, from 0.

        Returns:
            Object number to category.
        """
        return {
            source.object_number: source.category
            for source in self.sound_events
            if source.object_number and source.active[second]
        }

    def frame(self, second: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Paint the annotated frame of a second.

        Args:
            second: Number of the second, from 0.

        Returns:
            Frame (R, R, 3) uint8 RGB and object numbers (R, R) uint8, see `scenes.render`.
        """
        return render(self.scene, second + FRAME_POSITION)


def make_clip(
    rng: np.random.Generator,
    domain: SplitDomain,
    clip_type: ClipType,
    side: int = 224,
    seconds: int = 5,
) -> SyntheticClip:
    """Draw a clip.

    Args:
        rng: Source of chance; the same state gives the same clip.
        domain: What it is made from.
        clip_type: "single" has one source for the whole clip, in three of ten clips beside a silent
            object. "multi" has 2 to 4 objects, of which about half are silent in any second: 1 to
            3 sound, half of those for a run of seconds; also two of a category, off-screen
            sounds, and a few clips without sound.
        side: R, in pixels.
        seconds: T.

    Returns:
        The clip.
    """
    categories = _draw_categories(rng, domain, clip_type)
    positions = spread_positions(rng, len(categories))
    size_range = (0.28, 0.62) if len(categories) <= 2 else (0.28, 0.48)
    objects = tuple(
        place_object(rng, choose_sprite(rng, category, domain.styles), position, size_range)
        for category, position in zip(categories, positions, strict=True)
    )
    scene = Scene(make_background(rng, side), objects)
    sources = _draw_sources(rng, domain, clip_type, objects, seconds)
    chance = deepcopy(rng)

    def synthesize_stems() -> NDArray[np.float32]:
        return make_stems(deepcopy(chance), sources, domain.parameter_split, seconds)

    return SyntheticClip(scene, sources, seconds, synthesize_stems)


def make_stems(
    rng: np.random.Generator,
    sources: Sequence[SoundEvent],
    parameter_split: ParameterSplit,
    seconds: int,
) -> NDArray[np.float32]:
    """Synthesise a noise floor and the sources over it.

    Each source is brought to one loudness, then to -8 to +2 dB of it, with ramps of 25 ms where it
    starts and stops; the floor lies at -70 to -42 dB of full scale.

    Args:
        rng: Source of chance.
        sources: What sounds.
        parameter_split: Which synthesis parameters.
        seconds: T.

    Returns:
        The floor, then each source, (1 + N, T * SAMPLE_RATE) float32.
    """
    floor = rng.standard_normal(seconds * SAMPLE_RATE, np.float32)
    floor *= 10 ** (rng.uniform(-70, -42) / 20)
    stems = [floor]
    for source in sources:
        sound = synthesize(source.category, rng, float(seconds), parameter_split)
        gain = 0.1 * 10 ** (rng.uniform(-8, 2) / 20)
        level = np.sqrt(np.mean(sound**2)) + 0.02
        stems.append(np.clip(sound * np.float32(gain / level), -1, 1) * ramps(source.active))
    return np.stack(stems)


def mix(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add stems up, one after the other: their order decides the last bits.

    Args:
        stems: From `make_stems`, (1 + N, S).

    Returns:
        Mixture, (S,) float32 in [-1, 1].
    """
    mixture: NDArray[np.float32] = stems[0].copy()
    for stem in stems[1:]:
        mixture += stem
    return mixture.clip(-1, 1)


def ramps(active: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the envelope of a source: 1 in its seconds, with ramps of 25 ms inside them.

    Args:
        active: Seconds in which it sounds, (T,) bool.

    Returns:
        Envelope, (T * SAMPLE_RATE,) float32 in [0, 1].
    """
    width = SAMPLE_RATE // 40
    envelope = np.repeat(active.astype(np.float32), SAMPLE_RATE)
    rise = np.linspace(0, 1, width, dtype=np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2) * SAMPLE_RATE:
        envelope[start : start + width] *= rise
        envelope[stop - width : stop] *= rise[::-1]
    return envelope


def _draw_categories(
    rng: np.random.Generator, domain: SplitDomain, clip_type: ClipType
) -> list[str]:
    if clip_type == "single":
        count = 1 if rng.random() < 0.7 else 2
    else:
        count = int(rng.choice([2, 3, 4], p=[0.45, 0.4, 0.15]))
    count = min(count, len(domain.categories))
    categories = [str(c) for c in rng.choice(domain.categories, count, replace=False)]
    if clip_type == "multi" and rng.random() < 0.08:
        categories[1] = categories[0]
    return categories


def _draw_sources(
    rng: np.random.Generator,
    domain: SplitDomain,
    clip_type: ClipType,
    objects: tuple[MovingObject, ...],
    seconds: int,
) -> tuple[SoundEvent, ...]:
    if clip_type == "single":
        number = int(rng.integers(len(objects)))
        return (SoundEvent(objects[number].category, number + 1, np.ones(seconds, bool)),)
    if rng.random() < 0.015:
        return ()
    odds = _SOUNDING[len(objects)]
    count = int(rng.choice(np.arange(1, 1 + len(odds)), p=odds))
    heard = sorted({objects[i].category for i in rng.permutation(len(objects))[:count]})
    runs = {category: _draw_run(rng, seconds) for category in heard}
    sources = [  # of two of a kind both sound: nothing in the sound could tell them apart
        SoundEvent(thing.category, number, runs[thing.category])
        for number, thing in enumerate(objects, start=1)
        if thing.category in runs
    ]
    shown = {thing.category for thing in objects}
    absent = [c for c in domain.categories if c not in shown]
    if absent and rng.random() < 0.1:
        sources.append(SoundEvent(str(rng.choice(absent)), 0, _draw_run(rng, seconds)))
    return tuple(sources)


def _draw_run(rng: np.random.Generator, seconds: int) -> NDArray[np.bool_]:
    active = np.ones(seconds, bool)
    if rng.random() < 0.5:
        start = int(rng.integers(0, max(1, seconds - 1)))
        stop = int(rng.integers(start + 1, seconds + 1))
        active[:start] = False
        active[stop:] = False
    return active


#: Raised when the same options gives other clips than before.
GENERATOR_VERSION = 2

#: What the clips of each split are made from. AVSBench has the first three splits; who reads only
#: those does not notice the others.
SPLIT_DOMAINS: dict[str, SplitDomain] = {
    "train": SplitDomain(SEEN, TRAIN_STYLES, "train"),
    "val": SplitDomain(SEEN, SEEN_STYLES, "test"),
    "test": SplitDomain(SEEN, UNSEEN_STYLES, "test"),
    "test_seen": SplitDomain(SEEN, SEEN_STYLES, "test"),
    "test_zero_shot": SplitDomain(ZERO_SHOT, SEEN_STYLES, "test"),
}

_CLIP_TYPES: dict[str, ClipType] = {"v1s": "single", "v1m": "multi", "v2": "multi"}


@dataclass(frozen=True, kw_only=True)
class SynthavsOptions:
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
        return {split: self.clips if split == "train" else others for split in SPLIT_DOMAINS}


def draw_clip(options: SynthavsOptions, split: str, index: int) -> SyntheticClip:
    """Make one clip of a data set anew, with all that is known about it.

    Args:
        options: Of the data set.
        split: Name of the split.
        index: Number of the clip in its split.

    Returns:
        The clip that `write_synthavs` writes.
    """
    subset_number = get_args(Release).index(options.subset)
    split_number = tuple(SPLIT_DOMAINS).index(split)
    component = component_of(options.subset, index)
    return make_clip(
        np.random.default_rng((options.seed, subset_number, split_number, index)),
        SPLIT_DOMAINS[split],
        _CLIP_TYPES[component],
        options.side,
        SECONDS[component],
    )


def component_of(subset: Release, index: int) -> str:
    """Say which component of AVSBench a clip is of; in AVSS the components take turns.

    Args:
        subset: Which subset.
        index: Number of the clip in its split.

    Returns:
        "v1s", "v1m" or "v2".
    """
    components = LAYOUTS[subset].components
    return components[index % len(components)]
