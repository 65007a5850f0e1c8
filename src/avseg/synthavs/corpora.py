"""Pairs for pre-training, made on the fly: of pictures, sounds or masks with captions.

They stand for the web-scale pairs that CLIP, CLAP and EVF-SAM learned from: what they show is what
they say, and no picture is paired with a sound. Item i of a corpus depends on its seed and on i
alone, so that training resumes where it stopped. R side of a picture, P prompts, C categories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avseg.atomic import replace_when_complete
from avseg.synthavs.captions import (
    MAX_TEXT_WORDS,
    MAX_WORDS,
    NOTHING,
    encode,
    encode_text,
)
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.clips import ramps
from avseg.synthavs.scenes import (
    Scene,
    choose_sprite,
    make_background,
    place_object,
    render,
    spread_positions,
)
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit, synthesize

Item = dict[str, Tensor]


@dataclass(frozen=True)
class Picture:
    """A rendered scene.

    Attributes:
        frame: (R, R, 3) uint8 RGB.
        labels: Object number of each pixel, 0 for the background, (R, R) uint8.
        categories: Category of each object, in order of its number from 1.
    """

    frame: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    categories: tuple[str, ...]

    def classes(self) -> NDArray[np.uint8]:
        """Return the category of each pixel counted from 1, 0 for the background, (R, R) uint8."""
        numbers = [0, *(1 + CATEGORIES.index(category) for category in self.categories)]
        return np.array(numbers, np.uint8)[self.labels]

    def visible(self) -> dict[str, NDArray[np.bool_]]:
        """Return the visible pixels of each category that covers at least 0.2 % of the picture."""
        masks: dict[str, NDArray[np.bool_]] = {}
        for number, category in enumerate(self.categories, start=1):
            mask = self.labels == number
            masks[category] = masks.get(category, np.zeros_like(mask)) | mask
        return {c: mask for c, mask in masks.items() if mask.mean() >= 0.002}


def draw_picture(rng: np.random.Generator, styles: tuple[str, ...], side: int) -> Picture:
    """Draw a scene of one to four objects of any category.

    Args:
        rng: Source of chance.
        styles: Art styles.
        side: R, in pixels.

    Returns:
        The picture.
    """
    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.27, 0.13]))
    categories = tuple(str(c) for c in rng.choice(CATEGORIES, count, replace=False))
    if count > 1 and rng.random() < 0.08:
        categories = (categories[0], *categories[:-1])
    size_range = (0.28, 0.66) if count <= 2 else (0.26, 0.5)
    objects = tuple(
        place_object(rng, choose_sprite(rng, category, styles), position, size_range)
        for category, position in zip(categories, spread_positions(rng, count), strict=True)
    )
    frame, labels = render(Scene(make_background(rng, side), objects), float(rng.uniform(0, 5)))
    return Picture(frame, labels, categories)


class ImageTextCorpus(Dataset[Item]):
    """Pictures with what they show.

    Items: `images` (3, R, R) uint8; `present` (C + 1,) float32, 1 for each category that is
    visible, the last place for "nothing"; `classes` (R, R) uint8, category of each pixel counted
    from 1, 0 for the background.
    """

    def __init__(self, size: int, styles: tuple[str, ...], side: int, seed: int) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        picture = draw_picture(rng, self.styles, self.side)
        return {
            "images": _to_tensor(picture.frame),
            "present": _presence(set(picture.visible())),
            "classes": torch.from_numpy(picture.classes()),
        }


class TextPromptCorpus(Dataset[Item]):
    """Pictures with captions of some of their objects and the pixels of these objects.

    Items: `images` (3, R, R) uint8; `captions` (P, MAX_WORDS) int64; `targets` (P, R, R) bool;
    `classes` (R, R) uint8, category of each pixel counted from 1, 0 for the background. A caption
    names one visible category, or several, or also ones that are not there, or none that is.
    """

    def __init__(
        self, size: int, styles: tuple[str, ...], side: int, prompts: int, seed: int
    ) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed
        self.prompts = prompts

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        picture = draw_picture(rng, self.styles, self.side)
        visible = picture.visible()
        wanted = [_draw_caption(rng, sorted(visible)) for _ in range(self.prompts)]
        nothing = np.zeros(picture.labels.shape, bool)
        targets = [sum((visible.get(w, nothing) for w in words), nothing) for words in wanted]
        return {
            "images": _to_tensor(picture.frame),
            "captions": torch.from_numpy(np.stack([encode(words) for words in wanted])),
            "targets": torch.from_numpy(np.stack(targets)),
            "classes": torch.from_numpy(picture.classes()),
        }


class AudioTextCorpus(Dataset[Item]):
    """Mixtures of one second with what sounds in them.

    Items: `audio_values` (SAMPLE_RATE,) float32; `present` (C + 1,) float32, 1 for each category
    that sounds, the last place for "nothing".

    Args:
        size: How many items.
        sounds: Category to its recordings, (N, S) int16, see `load_sound_bank`.
        seed: Of all items.
    """

    def __init__(self, size: int, sounds: Mapping[str, NDArray[np.int16]], seed: int) -> None:
        self.size, self.sounds, self.seed = size, sounds, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        count = _draw_voices(rng)
        heard = [str(c) for c in rng.choice(CATEGORIES, count, replace=False)]
        return {
            "audio_values": torch.from_numpy(_mix(rng, self.sounds, heard)),
            "present": _presence(set(heard)),
        }


class AudioImageTextCorpus(Dataset[Item]):
    """Pictures, mixtures of one second, and texts that name some of what is in either.

    Much of what sounds is in the picture, but not all. In some pictures part of the objects stand
    alone before black.

    Items: `images` (3, R, R) uint8 and `classes` (R, R) uint8 as in `ImageTextCorpus`;
    `audio_values` (SAMPLE_RATE,) float32; `shown` and `heard`, each (C + 1,) float32, 1 for each
    category that is visible or sounds, the last place for "nothing"; `texts` (MAX_TEXT_WORDS,)
    int64, word numbers in any order, some repeated, closed by the end word.

    Args:
        size: How many items.
        styles: Art styles.
        side: R, in pixels.
        sounds: Category to its recordings, (N, S) int16, see `load_sound_bank`.
        seed: Of all items.
    """

    def __init__(
        self,
        size: int,
        styles: tuple[str, ...],
        side: int,
        sounds: Mapping[str, NDArray[np.int16]],
        seed: int,
    ) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed
        self.sounds = sounds

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        picture = draw_picture(rng, self.styles, self.side)
        if rng.random() < 0.3:
            picture = _cut_out(rng, picture)
        shown = set(picture.visible())
        heard = _draw_heard(rng, sorted(shown))
        named = _draw_some(rng, heard if heard and rng.random() < 0.5 else sorted(shown))
        return {
            "images": _to_tensor(picture.frame),
            "classes": torch.from_numpy(picture.classes()),
            "audio_values": torch.from_numpy(_mix(rng, self.sounds, heard)),
            "shown": _presence(shown),
            "heard": _presence(set(heard)),
            "texts": torch.from_numpy(encode_text(_repeat_some(rng, named))),
        }


def load_sound_bank(
    folder: Path, count: int, parameter_split: ParameterSplit = "train", seconds: int = 5
) -> dict[str, NDArray[np.int16]]:
    """Synthesise recordings of each category once, and read them from disk afterwards.

    Args:
        folder: Where the recordings are kept, one file for each category.
        count: Recordings of a category.
        parameter_split: Which synthesis parameters, "train" or "test".
        seconds: Length of a recording.

    Returns:
        Category to its recordings, (count, seconds * SAMPLE_RATE) int16, mapped from disk.
    """
    bank = {}
    for number, category in enumerate(CATEGORIES):
        path = folder / f"{category}_{parameter_split}_{count}x{seconds}s.npy"
        if not path.exists():
            recordings = np.stack(
                [
                    synthesize(
                        category,
                        np.random.default_rng((number, i)),
                        float(seconds),
                        parameter_split,
                    )
                    for i in range(count)
                ]
            )
            with replace_when_complete(path) as partial:
                np.save(partial, (recordings * 32767).astype(np.int16))
        bank[category] = np.load(path, mmap_mode="r")
    return bank


def _draw_voices(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 1, 2, 3], p=[0.08, 0.37, 0.35, 0.2]))


def _mix(
    rng: np.random.Generator, sounds: Mapping[str, NDArray[np.int16]], heard: Sequence[str]
) -> NDArray[np.float32]:
    """Mix a second of each category with faint noise, (SAMPLE_RATE,)."""
    mixture = rng.standard_normal(SAMPLE_RATE, np.float32) * 10 ** (rng.uniform(-70, -42) / 20)
    for category in heard:
        mixture += _second_of(rng, sounds[category])
    mixture *= 10 ** (rng.uniform(-6, 3) / 20)
    mixed: NDArray[np.float32] = np.clip(mixture, -1, 1).astype(np.float32)
    return mixed


def _second_of(rng: np.random.Generator, recordings: NDArray[np.int16]) -> NDArray[np.float32]:
    recording = recordings[rng.integers(len(recordings))]
    second = int(rng.integers(len(recording) // SAMPLE_RATE))
    sound = recording[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE] / np.float32(32767)
    level = np.sqrt(np.mean((recording / np.float32(32767)) ** 2)) + 0.02
    gain = 0.1 * 10 ** (rng.uniform(-8, 2) / 20)
    edges = ramps(np.array([True])) if rng.random() < 0.5 else 1.0
    louder: NDArray[np.float32] = np.clip(sound * np.float32(gain / level), -1, 1) * edges
    return louder


def _cut_out(rng: np.random.Generator, picture: Picture) -> Picture:
    """Leave one category that is visible, seldom more, and make everything else black."""
    visible = picture.visible()
    kept = _draw_some(rng, sorted(visible))[: None if rng.random() < 0.3 else 1]
    nothing = np.zeros(picture.labels.shape, bool)
    mask = sum((visible[category] for category in kept), nothing)
    return Picture(
        np.where(mask[..., None], picture.frame, 0).astype(np.uint8),
        np.where(mask, picture.labels, 0).astype(np.uint8),
        picture.categories,
    )


def _draw_heard(rng: np.random.Generator, visible: Sequence[str]) -> list[str]:
    """Draw what sounds, each category with 70 % of chance something visible if there is more."""
    heard: list[str] = []
    for _ in range(_draw_voices(rng)):
        unheard = [c for c in visible if c not in heard]
        of_picture = bool(unheard) and rng.random() < 0.7
        rest = unheard if of_picture else [c for c in CATEGORIES if c not in heard]
        heard.append(str(rng.choice(rest)))
    return heard


def _draw_some(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Draw at least one of the words, if there is any, in any order."""
    count = int(rng.integers(1, 1 + len(words))) if words else 0
    return [str(w) for w in rng.permutation(list(words))[:count]]


def _repeat_some(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Bring words into any order and repeat some, so that texts of all lengths are read."""
    words = words or [NOTHING]
    free = MAX_TEXT_WORDS - 1 - len(words)
    again = rng.choice(words, int(rng.integers(0, free + 1)))
    return [str(w) for w in rng.permutation([*words, *again])]


def _draw_caption(rng: np.random.Generator, visible: list[str]) -> list[str]:
    absent = [c for c in CATEGORIES if c not in visible]
    kind = rng.random()
    shown = int(rng.integers(1, 1 + min(len(visible), MAX_WORDS))) if visible else 0
    if kind < 0.45:
        shown = min(shown, 1)
    words = [str(w) for w in rng.permutation(visible)[:shown]]
    if kind >= 0.88 or not words:
        words = [str(rng.choice(absent))] if rng.random() < 0.6 else []
    elif kind >= 0.78 and len(words) < MAX_WORDS:
        words.append(str(rng.choice(absent)))
    free = MAX_WORDS - len(words)
    words += [NOTHING] * int(rng.integers(1 if not words else 0, free + 1))
    return [str(w) for w in rng.permutation(words)]


def _presence(names: set[str]) -> Tensor:
    present = [float(c in names) for c in CATEGORIES]
    return torch.tensor([*present, float(not names)])


def _to_tensor(frame: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
