"""Versions of the SynthAVS generator, the options of a data set, and its clips by their index.

T is the length of a clip in seconds, R the side of the square frames in pixels, S the number of
audio samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.layout import LAYOUTS, SECONDS, Release
from avseg.synthavs.clips import (
    SPLIT_DOMAINS,
    ClipType,
    SplitDomain,
    SyntheticClip,
    make_clip,
    make_steady_sound,
    white_noise,
)
from avseg.synthavs.film.acoustics import draw_noise
from avseg.synthavs.film.clips import FILM_DOMAINS, make_film_clip, make_off_screen_sound
from avseg.synthavs.film.labelled import draw_labelled_film
from avseg.synthavs.film.mixtures import mix_film_second
from avseg.synthavs.labelled import LabelledScene, draw_labelled_scene
from avseg.synthavs.mixtures import mix_second
from avseg.synthavs.sounds import ParameterSplit

GeneratorVersion = Literal[2, 3]


class ClipMaker(Protocol):
    """Function that draws a clip at random."""

    def __call__(
        self,
        rng: np.random.Generator,
        domain: SplitDomain,
        clip_type: ClipType,
        side: int,
        seconds: int,
    ) -> SyntheticClip:
        """Draw a clip of R x R pixels and T seconds; see `make_clip`."""
        ...


class SoundMaker(Protocol):
    """Function that synthesizes the sound of one category over a whole clip."""

    def __call__(
        self, rng: np.random.Generator, category: str, parameter_split: ParameterSplit, seconds: int
    ) -> NDArray[np.float32]:
        """Synthesize T seconds, (S,) float32 in [-1, 1]; see `make_steady_sound`."""
        ...


@dataclass(frozen=True)
class Generator:
    """One version of the generator. The same options always give the same clips.

    Attributes:
        domains: Domain of each split, by its name. The position of a split is part of the seeds of
            its clips, so the order must not change.
        make_clip: Draws a clip.
        make_sound: Synthesizes the sound of a category, as negative audio.
        make_noise: Synthesizes S samples of noise with a root mean square of about 1, as negative
            audio.
        draw_labelled: Renders a frame of a random scene in some styles, of R x R pixels.
        mix_second: Mixes one second of recordings of some categories; see `mixtures`.
    """

    domains: dict[str, SplitDomain]
    make_clip: ClipMaker
    make_sound: SoundMaker
    make_noise: Callable[[np.random.Generator, int], NDArray[np.float32]]
    draw_labelled: Callable[[np.random.Generator, tuple[str, ...], int], LabelledScene]
    mix_second: Callable[
        [np.random.Generator, Mapping[str, NDArray[np.int16]], Sequence[str]], NDArray[np.float32]
    ]


#: Generator of each version. Version 2 draws plain scenes with clean sound, version 3 film-like
#: ones. A version never changes: other clips get a new version.
GENERATORS: dict[GeneratorVersion, Generator] = {
    2: Generator(
        SPLIT_DOMAINS, make_clip, make_steady_sound, white_noise, draw_labelled_scene, mix_second
    ),
    3: Generator(
        FILM_DOMAINS,
        make_film_clip,
        make_off_screen_sound,
        draw_noise,
        draw_labelled_film,
        mix_film_second,
    ),
}

#: Type of the clips of each component of AVSBench.
_CLIP_TYPES: dict[str, ClipType] = {"v1s": "single", "v1m": "multi", "v2": "multi"}


@dataclass(frozen=True, kw_only=True)
class SynthavsOptions:
    """Options of a SynthAVS data set; they determine all of its files.

    Attributes:
        subset: "s4" (one source; a training clip has only the mask of its first frame), "ms3"
            (several sources that start and stop, silent objects, off-screen sounds) or "avss"
            (both, and clips of 10 s, with class labels).
        clips: Number of training clips.
        seed: Random seed.
        evaluation_clips: Number of clips of each other split; None for a quarter of the training
            clips, but at least 10 and at most 100.
        side: R, side of the square frames, in pixels.
        videos: Whether to write each clip also as an mp4 file with audio.
        generator_version: Key of `GENERATORS`.

    Raises:
        ValueError: If a number is out of range, or the subset or the version is unknown.
    """

    subset: Release
    clips: int
    seed: int = 0
    evaluation_clips: int | None = None
    side: int = 224
    videos: bool = False
    generator_version: GeneratorVersion = 2

    def __post_init__(self) -> None:
        if self.subset not in get_args(Release):
            subsets = ", ".join(get_args(Release))
            raise ValueError(f"subset must be one of {subsets}, got {self.subset!r}.")
        if self.generator_version not in GENERATORS:
            versions = ", ".join(map(str, GENERATORS))
            raise ValueError(
                f"generator_version must be one of {versions}, got {self.generator_version!r}."
            )
        bounds = {"clips": 1, "evaluation_clips": 1, "seed": 0, "side": 32}
        for name, least in bounds.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if self.videos and self.side % 2:
            raise ValueError(f"side must be even to write videos (h264), got {self.side}.")

    @property
    def generator(self) -> Generator:
        """Generator of the clips."""
        return GENERATORS[self.generator_version]

    def counts(self) -> dict[str, int]:
        """Return the number of clips of each split."""
        others = self.evaluation_clips
        if others is None:
            others = min(max(self.clips // 4, 10), 100)
        return {
            split: self.clips if split == "train" else others for split in self.generator.domains
        }


def draw_clip(options: SynthavsOptions, split: str, index: int) -> SyntheticClip:
    """Draw one clip of a data set; it depends only on the options, the split and the index.

    Args:
        options: Options of the data set.
        split: Name of the split.
        index: Index of the clip in its split.

    Returns:
        The clip that `write_synthavs` writes.
    """
    subset_number = get_args(Release).index(options.subset)
    # Each clip has its own seed, so any process can draw any clip, in any order.
    domains = options.generator.domains
    split_number = tuple(domains).index(split)
    component = component_of(options.subset, index)
    return options.generator.make_clip(
        np.random.default_rng((options.seed, subset_number, split_number, index)),
        domains[split],
        _CLIP_TYPES[component],
        options.side,
        SECONDS[component],
    )


def component_of(subset: Release, index: int) -> str:
    """Return the component of AVSBench that a clip belongs to; in AVSS they alternate.

    Args:
        subset: Name of the subset.
        index: Index of the clip in its split.

    Returns:
        "v1s", "v1m" or "v2".
    """
    components = LAYOUTS[subset].components
    return components[index % len(components)]
