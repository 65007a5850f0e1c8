"""Clips of SynthAVS, and the random clips of version 2 with their objects and sound events.

In version 2, sound events start and stop at whole seconds, and are audible in every second in
between. So the sounding objects of each second are known exactly.

T is the length of a clip in seconds, S its number of audio samples, N the number of sound events,
R the side of the square frames in pixels.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

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
    spread_positions,
)
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit, synthesize

ClipType = Literal["single", "multi"]

#: Number of objects of a multi-source clip -> probabilities that 1, 2, ... of them sound at some
#: time. Half of the events do not last for the whole clip, so that fewer objects sound at once.
SOUNDING_ODDS = {1: (1.0,), 2: (0.7, 0.3), 3: (0.4, 0.45, 0.15), 4: (0.25, 0.5, 0.25)}


@dataclass(frozen=True)
class SplitDomain:
    """Categories, art styles and sounds from which the clips of a split are drawn.

    Attributes:
        categories: Categories of objects and sounds.
        styles: Art styles of objects.
        parameter_split: Ranges of the synthesis parameters of the sounds.
    """

    categories: tuple[str, ...]
    styles: tuple[str, ...]
    parameter_split: ParameterSplit


#: Domain of each split. AVSBench has the first three splits; code for AVSBench ignores the others.
#: The position of a split is part of the seeds of its clips, so the order must not change.
SPLIT_DOMAINS: dict[str, SplitDomain] = {
    "train": SplitDomain(SEEN, TRAIN_STYLES, "train"),
    "val": SplitDomain(SEEN, SEEN_STYLES, "test"),
    "test": SplitDomain(SEEN, UNSEEN_STYLES, "test"),
    "test_seen": SplitDomain(SEEN, SEEN_STYLES, "test"),
    "test_zero_shot": SplitDomain(ZERO_SHOT, SEEN_STYLES, "test"),
}


@dataclass(frozen=True)
class SoundEvent:
    """One sound of a clip, from an object of the scene or off-screen.

    Attributes:
        category: Category of the sound.
        object_number: Number of its object in the scene, from 1; 0 for an off-screen sound.
        active: Whether the event sounds in each second, (T,) bool.
    """

    category: str
    object_number: int
    active: NDArray[np.bool_]

    def sounds_at(self, time_s: float) -> bool:
        """Return whether the event sounds at a time in seconds."""
        return 0 <= time_s < len(self.active) and bool(self.active[int(time_s)])


class SceneObject(Protocol):
    """Object of a scene."""

    @property
    def category(self) -> str:
        """Category of the object."""
        ...


class AnyScene(Protocol):
    """Scene of any version, which can be rendered at any time."""

    @property
    def side(self) -> int:
        """R, side of the square frames in pixels."""
        ...

    @property
    def objects(self) -> Sequence[SceneObject]:
        """Objects by their numbers from 1."""
        ...

    def render(self, time_s: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Render the frame, (R, R, 3), and the object numbers, (R, R), at a time in seconds."""
        ...


@dataclass(frozen=True)
class SyntheticClip:
    """Scene with its sound events, from which frames, masks and audio are rendered.

    Attributes:
        scene: Scene with its objects.
        sound_events: Sounds of the clip.
        seconds: T, length of the clip in seconds.
        synthesize_stems: Synthesizes the stems; every call returns the same values.
    """

    scene: AnyScene
    sound_events: tuple[SoundEvent, ...]
    seconds: int
    synthesize_stems: Callable[[], NDArray[np.float32]]

    @cached_property
    def stems(self) -> NDArray[np.float32]:
        """Noise floor, then each sound event alone, (1 + N, S) float32 at `SAMPLE_RATE`.

        They are synthesized on first access, because the synthesis takes several times as long as
        all other steps, and many callers need only the frames.
        """
        return self.synthesize_stems()

    @property
    def audio(self) -> NDArray[np.float32]:
        """Audio of the clip, the mixture of the stems, (S,) float32 in [-1, 1]."""
        return mix(self.stems)

    def without(self, category: str) -> "SyntheticClip":
        """Remove the sound events of one category; everything else stays bit for bit the same.

        Args:
            category: Category to remove from the audio.

        Returns:
            Clip with the same scene and the other sound events.
        """
        kept = [number for number, e in enumerate(self.sound_events) if e.category != category]
        stems = self.stems[[0, *(number + 1 for number in kept)]]
        return SyntheticClip(
            scene=self.scene,
            sound_events=tuple(self.sound_events[number] for number in kept),
            seconds=self.seconds,
            synthesize_stems=lambda: stems,
        )

    def sounding(self, second: int) -> dict[int, str]:
        """Return the visible objects that sound in a second.

        Args:
            second: Index of the second, from 0.

        Returns:
            Category of each sounding object by its number.
        """
        return {
            event.object_number: event.category
            for event in self.sound_events
            if event.object_number and event.active[second]
        }

    def sounding_at(self, time_s: float) -> dict[int, str]:
        """Return the objects that sound at a time; they are not always in the picture.

        Args:
            time_s: Time since the start of the clip, in seconds.

        Returns:
            Category of each sounding object by its number.
        """
        return {
            event.object_number: event.category
            for event in self.sound_events
            if event.object_number and event.sounds_at(time_s)
        }

    def truth_at(self, time_s: float) -> NDArray[np.bool_]:
        """Render the ground truth of a time: the visible pixels of the objects that sound at it.

        Args:
            time_s: Time since the start of the clip, in seconds.

        Returns:
            Mask, (R, R) bool.
        """
        _, numbers = self.scene.render(time_s)
        return np.isin(numbers, list(self.sounding_at(time_s)))

    def frame(self, second: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Render the annotated frame of a second.

        Args:
            second: Index of the second, from 0.

        Returns:
            Frame, (R, R, 3) uint8 RGB, and object numbers, (R, R) uint8; see `Scene.render`.
        """
        return self.scene.render(second + FRAME_POSITION)


def make_clip(
    rng: np.random.Generator,
    domain: SplitDomain,
    clip_type: ClipType,
    side: int = 224,
    seconds: int = 5,
) -> SyntheticClip:
    """Draw a clip at random.

    Args:
        rng: Random generator; the same state gives the same clip.
        domain: Categories, styles and sounds to draw from.
        clip_type: "single" has one source for the whole clip; 30 % of the clips also have a silent
            object. "multi" has 2 to 4 objects, of which 1 to 3 categories sound; half of the sounds
            last for some seconds only, so that about half of the objects are silent in a given
            second. Some clips have two objects of one category or an off-screen sound, and a few
            have no sound.
        side: R, in pixels.
        seconds: T.

    Returns:
        The clip.
    """
    categories = draw_categories(rng, domain, clip_type)
    positions = spread_positions(rng, len(categories))
    # More objects are smaller, so that they rarely hide each other.
    size_range = (0.28, 0.62) if len(categories) <= 2 else (0.28, 0.48)
    objects = tuple(
        place_object(rng, choose_sprite(rng, category, domain.styles), position, size_range)
        for category, position in zip(categories, positions, strict=True)
    )
    scene = Scene(make_background(rng, side), objects)
    events = _draw_events(rng, domain, clip_type, objects, seconds)
    # A copy of the generator's state, so that the stems do not depend on when and how often they
    # are synthesized.
    stems_rng = deepcopy(rng)

    def synthesize_stems() -> NDArray[np.float32]:
        return make_stems(deepcopy(stems_rng), events, domain.parameter_split, seconds)

    return SyntheticClip(scene, events, seconds, synthesize_stems)


def draw_categories(
    rng: np.random.Generator, domain: SplitDomain, clip_type: ClipType, twins: float = 0.08
) -> list[str]:
    """Draw the categories of the objects of a clip.

    Args:
        rng: Random generator.
        domain: Categories to draw from.
        clip_type: "single" has one or two objects, "multi" two to four.
        twins: Share of the clips of several sources that have two objects of one category.

    Returns:
        Category of each object.
    """
    if clip_type == "single":
        count = 1 if rng.random() < 0.7 else 2
    else:
        count = int(rng.choice([2, 3, 4], p=[0.45, 0.4, 0.15]))
    # A caller may pass a domain with fewer categories.
    count = min(count, len(domain.categories))
    categories = [str(c) for c in rng.choice(domain.categories, count, replace=False)]
    if clip_type == "multi" and rng.random() < twins:
        categories[1] = categories[0]  # two objects of one category
    return categories


def make_stems(
    rng: np.random.Generator,
    events: Sequence[SoundEvent],
    parameter_split: ParameterSplit,
    seconds: int,
) -> NDArray[np.float32]:
    """Synthesize the noise floor and each sound event.

    All events are scaled to the same level, then by a random gain of -8 to +2 dB. They fade in and
    out within 25 ms. The noise floor has a random level of -70 to -42 dB of full scale.

    Args:
        rng: Random generator.
        events: Sound events.
        parameter_split: Ranges of the synthesis parameters.
        seconds: T.

    Returns:
        Noise floor, then each event, (1 + N, T * SAMPLE_RATE) float32.
    """
    floor = rng.standard_normal(seconds * SAMPLE_RATE, np.float32)
    floor *= 10 ** (rng.uniform(-70, -42) / 20)
    stems = [floor]
    for event in events:
        sound = synthesize(event.category, rng, float(seconds), parameter_split)
        # A level of about 0.1 leaves headroom for the sum of three sounds.
        gain = 0.1 * 10 ** (rng.uniform(-8, 2) / 20)
        # + 0.02 limits the gain of sounds that consist mostly of pauses, such as a clock.
        level = np.sqrt(np.mean(sound**2)) + 0.02
        stems.append(np.clip(sound * np.float32(gain / level), -1, 1) * ramps(event.active))
    return np.stack(stems)


def make_steady_sound(
    rng: np.random.Generator, category: str, parameter_split: ParameterSplit, seconds: int
) -> NDArray[np.float32]:
    """Synthesize a sound that lasts for a whole clip, over the noise floor.

    Args:
        rng: Random generator.
        category: Category of the sound.
        parameter_split: Ranges of the synthesis parameters.
        seconds: T.

    Returns:
        Audio, (T * SAMPLE_RATE,) float32 in [-1, 1].
    """
    event = SoundEvent(category, 0, np.ones(seconds, bool))
    return mix(make_stems(rng, [event], parameter_split, seconds))


def white_noise(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw white noise of unit variance, (count,) float32.

    Args:
        rng: Random generator.
        count: S.

    Returns:
        The noise.
    """
    return rng.standard_normal(count, np.float32)


def mix(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add the stems to one mixture.

    Args:
        stems: Stems from `make_stems`, (1 + N, S).

    Returns:
        Mixture, (S,) float32 in [-1, 1].
    """
    # One by one: the order of float additions decides the last bits, which must be reproducible.
    mixture: NDArray[np.float32] = stems[0].copy()
    for stem in stems[1:]:
        mixture += stem
    return mixture.clip(-1, 1)


def ramps(active: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the envelope of a sound event: 1 while it is active, with ramps of 25 ms.

    Args:
        active: Whether the event sounds in each second, (T,) bool.

    Returns:
        Envelope, (T * SAMPLE_RATE,) float32 in [0, 1].
    """
    width = SAMPLE_RATE // 40
    envelope = np.repeat(active.astype(np.float32), SAMPLE_RATE)
    rise = np.linspace(0, 1, width, dtype=np.float32)
    # The differences are nonzero at each start and stop, so the edges come in pairs.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2) * SAMPLE_RATE:
        envelope[start : start + width] *= rise
        envelope[stop - width : stop] *= rise[::-1]
    return envelope


def _draw_events(
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
        return ()  # a silent clip
    odds = SOUNDING_ODDS[len(objects)]
    count = int(rng.choice(np.arange(1, 1 + len(odds)), p=odds))
    # Sorted, because the order of a set of strings differs from process to process.
    sounding = sorted({objects[i].category for i in rng.permutation(len(objects))[:count]})
    active = {category: _draw_active(rng, seconds) for category in sounding}
    # Two objects of one category sound together: nothing in the audio could distinguish them.
    events = [
        SoundEvent(shown.category, number, active[shown.category])
        for number, shown in enumerate(objects, start=1)
        if shown.category in active
    ]
    visible = {shown.category for shown in objects}
    # An off-screen sound must not be of a visible category: its object would seem to sound.
    absent = [c for c in domain.categories if c not in visible]
    if absent and rng.random() < 0.1:
        events.append(SoundEvent(str(rng.choice(absent)), 0, _draw_active(rng, seconds)))
    return tuple(events)


def _draw_active(rng: np.random.Generator, seconds: int) -> NDArray[np.bool_]:
    """Draw the seconds of an event: all seconds, or for half of the events an interval."""
    active = np.ones(seconds, bool)
    if rng.random() < 0.5:
        start = int(rng.integers(0, max(1, seconds - 1)))
        stop = int(rng.integers(start + 1, seconds + 1))
        active[:start] = False
        active[stop:] = False
    return active
