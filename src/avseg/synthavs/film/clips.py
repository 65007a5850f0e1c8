"""Random clips of version 3: a film-like scene with its sound.

T is the length of a clip in seconds.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.categories import (
    FILM_SEEN_STYLES,
    FILM_TRAIN_STYLES,
    SEEN,
    UNSEEN_STYLES,
    ZERO_SHOT,
)
from avseg.synthavs.clips import (
    SOUNDING_ODDS,
    ClipType,
    SplitDomain,
    SyntheticClip,
    draw_categories,
)
from avseg.synthavs.film.drawing import draw_scene
from avseg.synthavs.film.scenes import FilmObject
from avseg.synthavs.film.soundtrack import FilmEvent, draw_soundtrack, film_event
from avseg.synthavs.scenes import choose_sprite
from avseg.synthavs.sounds import ParameterSplit

#: Shortest sound event, in seconds.
_SHORTEST_S = 0.6

#: Share of the clips with two objects of one category.
_TWINS = 0.15

#: Shares of the clips with several objects in which no object sounds: silence, background noise
#: alone, and an off-screen sound alone. Further clips have an off-screen sound beside the others.
_SILENT, _NOISE, _OFF_SCREEN_ALONE, _OFF_SCREEN_TOO = 0.015, 0.05, 0.06, 0.15


#: Domain of each split. Styles and categories are unseen in the same splits as in version 2.
FILM_DOMAINS: dict[str, SplitDomain] = {
    "train": SplitDomain(SEEN, FILM_TRAIN_STYLES, "train"),
    "val": SplitDomain(SEEN, FILM_SEEN_STYLES, "test"),
    "test": SplitDomain(SEEN, UNSEEN_STYLES, "test"),
    "test_seen": SplitDomain(SEEN, FILM_SEEN_STYLES, "test"),
    "test_zero_shot": SplitDomain(ZERO_SHOT, FILM_SEEN_STYLES, "test"),
}


def make_film_clip(
    rng: np.random.Generator,
    domain: SplitDomain,
    clip_type: ClipType,
    side: int = 224,
    seconds: int = 5,
) -> SyntheticClip:
    """Draw a film-like clip at random.

    Args:
        rng: Random generator; the same state gives the same clip.
        domain: Categories, styles and sounds to draw from.
        clip_type: "single" has one source, which is in the picture and sounds in every second; 30 %
            of the clips also have a silent object. "multi" has 2 to 4 objects, of which 1 to 3
            categories sound, half of them for a part of the time. Objects may leave the picture
            while they sound, or be hidden. Some clips have two objects of one category, an
            off-screen sound, or no sounding object.
        side: R, in pixels.
        seconds: T.

    Returns:
        The clip.
    """
    categories = draw_categories(rng, domain, clip_type, _TWINS)
    sprites = [choose_sprite(rng, category, domain.styles) for category in categories]
    source = int(rng.integers(len(categories))) + 1 if clip_type == "single" else None
    scene = draw_scene(rng, sprites, side, seconds, staying=source)
    if source is None:
        events = _draw_events(rng, domain, scene.objects, seconds)
        silent = not events and rng.random() < _SILENT / (_SILENT + _NOISE)
    else:
        events = [film_event(categories[source - 1], source, _draw_whole(rng, seconds), seconds)]
        silent = False
    soundtrack = draw_soundtrack(rng, events, seconds)
    if silent:
        soundtrack = replace(soundtrack, noise_db=-90.0)
    # A copy of the generator's state, so that the stems do not depend on when and how often they
    # are synthesized.
    stems_rng = deepcopy(rng)

    def synthesize_stems() -> NDArray[np.float32]:
        return soundtrack.synthesize(deepcopy(stems_rng), domain.parameter_split)

    return SyntheticClip(scene, soundtrack.events, seconds, synthesize_stems)


def make_off_screen_sound(
    rng: np.random.Generator, category: str, parameter_split: ParameterSplit, seconds: int
) -> NDArray[np.float32]:
    """Synthesize a sound that lasts for a whole clip, in a room and over noise.

    Args:
        rng: Random generator.
        category: Category of the sound.
        parameter_split: Ranges of the synthesis parameters.
        seconds: T.

    Returns:
        Audio, (T * SAMPLE_RATE,) float32 in [-1, 1].
    """
    event = film_event(category, 0, (0.0, float(seconds)), seconds)
    stems = draw_soundtrack(rng, [event], seconds).synthesize(rng, parameter_split)
    audio: NDArray[np.float32] = stems.sum(axis=0)
    return audio


def _draw_events(
    rng: np.random.Generator, domain: SplitDomain, objects: Sequence[FilmObject], seconds: int
) -> list[FilmEvent]:
    """Draw the sound events of a clip with several objects."""
    kind = rng.random()
    if kind < _SILENT + _NOISE:
        return []
    visible = {shown.category for shown in objects}
    absent = [category for category in domain.categories if category not in visible]
    alone = kind < _SILENT + _NOISE + _OFF_SCREEN_ALONE
    events = []
    if not (alone and absent):
        odds = SOUNDING_ODDS[len(objects)]
        count = int(rng.choice(np.arange(1, 1 + len(odds)), p=odds))
        # Sorted, because the order of a set of strings differs from process to process.
        sounding = sorted({objects[i].category for i in rng.permutation(len(objects))[:count]})
        times = {category: _draw_times(rng, seconds) for category in sounding}
        # Two objects of one category sound together: nothing in the audio could distinguish them.
        events = [
            film_event(shown.category, number, times[shown.category], seconds)
            for number, shown in enumerate(objects, start=1)
            if shown.category in times
        ]
    if absent and (alone or rng.random() < _OFF_SCREEN_TOO):
        category = str(rng.choice(absent))
        events.append(film_event(category, 0, _draw_times(rng, seconds), seconds))
    return events


def _draw_times(rng: np.random.Generator, seconds: int) -> tuple[float, float]:
    """Draw an onset and an offset in seconds: the whole clip, or for half of the events a part."""
    if rng.random() < 0.5:
        return 0.0, float(seconds)
    length = rng.uniform(_SHORTEST_S, seconds)
    start_s = rng.uniform(-0.3 * length, seconds - 0.7 * length)
    start_s, stop_s = max(0.0, start_s), min(float(seconds), start_s + length)
    if stop_s - start_s < _SHORTEST_S:
        start_s, stop_s = max(0.0, stop_s - _SHORTEST_S), max(stop_s, _SHORTEST_S)
    return float(start_s), float(stop_s)


def _draw_whole(rng: np.random.Generator, seconds: int) -> tuple[float, float]:
    """Draw an onset and an offset such that a source sounds in more than half of each second."""
    if rng.random() < 0.5:
        return 0.0, float(seconds)
    return float(rng.uniform(0, 0.45)), seconds - float(rng.uniform(0, 0.45))
