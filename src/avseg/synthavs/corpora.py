"""Corpora for pre-training: images, audio or masks with captions, synthesized on access.

They replace the web-scale corpora on which CLIP, CLAP, EVF-SAM and ImageBind were trained. Item i
of a corpus depends only on i and the seed, so that a resumed training gets the same data.

R is the side of the square frames in pixels, P the number of prompts, C the number of categories, N
the number of recordings, S the number of audio samples.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avseg.atomic import replace_when_complete
from avseg.errors import DatasetError
from avseg.synthavs.captions import (
    MAX_TEXT_WORDS,
    MAX_WORDS,
    NOTHING,
    encode,
    encode_text,
)
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.generators import GENERATORS, GeneratorVersion
from avseg.synthavs.labelled import LabelledScene
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit, synthesize

#: One item of a corpus: tensors by name.
Item = dict[str, Tensor]


class ImageTextCorpus(Dataset[Item]):
    """Images with their visible categories.

    Items: `images`, (3, R, R) uint8; `present`, (C + 1,) float32, 1 for each visible category, the
    last position for "nothing"; `classes`, class number of each pixel, 0 for the background, (R, R)
    uint8.

    Args:
        size: Number of items.
        styles: Art styles of the objects.
        side: R, in pixels.
        seed: Random seed.
        generator_version: Key of `GENERATORS`.
    """

    def __init__(
        self,
        size: int,
        styles: tuple[str, ...],
        side: int,
        seed: int,
        generator_version: GeneratorVersion = 2,
    ) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed
        self.generator = GENERATORS[generator_version]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        scene = self.generator.draw_labelled(rng, self.styles, self.side)
        return {
            "images": _to_tensor(scene.frame),
            "present": _presence(set(scene.visible())),
            "classes": torch.from_numpy(scene.classes()),
        }


class TextPromptCorpus(Dataset[Item]):
    """Images with captions and the masks of the objects that the captions name.

    Items: `images`, (3, R, R) uint8; `captions`, word indices, (P, MAX_WORDS) int64; `targets`,
    masks, (P, R, R) bool; `classes`, class number of each pixel, 0 for the background, (R, R)
    uint8. A caption names one or several visible categories, some with an absent one, or only an
    absent one or "nothing".

    Args:
        size: Number of items.
        styles: Art styles of the objects.
        side: R, in pixels.
        prompts: P.
        seed: Random seed.
        generator_version: Key of `GENERATORS`.
    """

    def __init__(
        self,
        size: int,
        styles: tuple[str, ...],
        side: int,
        prompts: int,
        seed: int,
        generator_version: GeneratorVersion = 2,
    ) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed
        self.prompts = prompts
        self.generator = GENERATORS[generator_version]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        scene = self.generator.draw_labelled(rng, self.styles, self.side)
        visible = scene.visible()
        wanted = [_draw_caption(rng, sorted(visible)) for _ in range(self.prompts)]
        nothing = np.zeros(scene.labels.shape, bool)
        targets = [sum((visible.get(w, nothing) for w in words), nothing) for words in wanted]
        return {
            "images": _to_tensor(scene.frame),
            "captions": torch.from_numpy(np.stack([encode(words) for words in wanted])),
            "targets": torch.from_numpy(np.stack(targets)),
            "classes": torch.from_numpy(scene.classes()),
        }


class AudioTextCorpus(Dataset[Item]):
    """Audio mixtures of one second with their categories.

    Items: `audio_values`, (SAMPLE_RATE,) float32; `present`, (C + 1,) float32, 1 for each audible
    category, the last position for "nothing".

    Args:
        size: Number of items.
        sounds: Recordings of each category, (N, S) int16, from `load_sound_bank`.
        seed: Random seed.
        generator_version: Key of `GENERATORS`.
    """

    def __init__(
        self,
        size: int,
        sounds: Mapping[str, NDArray[np.int16]],
        seed: int,
        generator_version: GeneratorVersion = 2,
    ) -> None:
        self.size, self.sounds, self.seed = size, sounds, seed
        self.generator = GENERATORS[generator_version]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        count = _draw_event_count(rng)
        audible = [str(c) for c in rng.choice(CATEGORIES, count, replace=False)]
        return {
            "audio_values": torch.from_numpy(self.generator.mix_second(rng, self.sounds, audible)),
            "present": _presence(set(audible)),
        }


class AudioImageTextCorpus(Dataset[Item]):
    """Images with audio mixtures of one second, and texts that name categories of either.

    Most audible categories are visible too, but not all. In some images one category is cut out on
    black.

    Items: `images`, (3, R, R) uint8, and `classes`, (R, R) uint8, as in `ImageTextCorpus`;
    `audio_values`, (SAMPLE_RATE,) float32; `shown` and `heard`, each (C + 1,) float32, 1 for each
    visible or audible category, the last position for "nothing"; `texts`, (MAX_TEXT_WORDS,) int64,
    word indices in random order, some repeated, followed by the end word.

    Args:
        size: Number of items.
        styles: Art styles of the objects.
        side: R, in pixels.
        sounds: Recordings of each category, (N, S) int16, from `load_sound_bank`.
        seed: Random seed.
        generator_version: Key of `GENERATORS`.
    """

    def __init__(
        self,
        size: int,
        styles: tuple[str, ...],
        side: int,
        sounds: Mapping[str, NDArray[np.int16]],
        seed: int,
        generator_version: GeneratorVersion = 2,
    ) -> None:
        self.size, self.styles, self.side, self.seed = size, styles, side, seed
        self.sounds = sounds
        self.generator = GENERATORS[generator_version]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        scene = self.generator.draw_labelled(rng, self.styles, self.side)
        # TAViS encodes masked frames too, so the image tower must recognize objects on black.
        if rng.random() < 0.3:
            scene = _cut_out(rng, scene)
        visible = set(scene.visible())
        audible = _draw_audible(rng, sorted(visible))
        named = _draw_some(rng, audible if audible and rng.random() < 0.5 else sorted(visible))
        return {
            "images": _to_tensor(scene.frame),
            "classes": torch.from_numpy(scene.classes()),
            "audio_values": torch.from_numpy(self.generator.mix_second(rng, self.sounds, audible)),
            "shown": _presence(visible),
            "heard": _presence(set(audible)),
            "texts": torch.from_numpy(encode_text(_repeat_some(rng, named))),
        }


class AlternatingCorpus(Dataset[Item]):
    """Items of several corpora in turn: item i is item i of corpus i modulo their number.

    Args:
        corpora: Corpora of the same size.
    """

    def __init__(self, corpora: Sequence[Dataset[Item]]) -> None:
        self.corpora = corpora

    def __len__(self) -> int:
        return len(self.corpora[0])  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Item:
        return self.corpora[index % len(self.corpora)][index]


def load_sound_bank(
    folder: Path, count: int, parameter_split: ParameterSplit = "train", seconds: int = 5
) -> dict[str, NDArray[np.int16]]:
    """Load recordings of each category; synthesize and store them on the first call.

    Args:
        folder: Folder of the recordings, one file for each category.
        count: Number of recordings of each category.
        parameter_split: Ranges of the synthesis parameters, "train" or "test".
        seconds: Length of each recording, in seconds.

    Returns:
        Recordings of each category, (count, seconds * SAMPLE_RATE) int16, memory-mapped.

    Raises:
        DatasetError: If a file in the folder is damaged.
    """
    bank = {}
    # The file name has all options, so that other options give another file.
    for number, category in enumerate(CATEGORIES):
        path = folder / f"{category}_{parameter_split}_{count}x{seconds}s.npy"
        if not path.exists():
            recordings = np.stack(
                [
                    synthesize(
                        category,
                        # One seed per recording: a larger bank begins with the same recordings.
                        np.random.default_rng((number, i)),
                        float(seconds),
                        parameter_split,
                    )
                    for i in range(count)
                ]
            )
            # 16 bits halve the size on disk; a partial file would be taken for a complete one.
            with replace_when_complete(path) as partial:
                np.save(partial, (recordings * 32767).astype(np.int16))
        bank[category] = _open_recordings(path, (count, seconds * SAMPLE_RATE))
    return bank


def _open_recordings(path: Path, shape: tuple[int, int]) -> NDArray[np.int16]:
    """Memory-map the recordings of one category."""
    try:
        recordings: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
        if recordings.shape != shape or recordings.dtype != np.dtype(np.int16):
            raise ValueError(f"it has {recordings.shape} {recordings.dtype} values")  # noqa: TRY301
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        raise DatasetError(
            f"{path}: is damaged ({error}); remove it, and it is synthesised again."
        ) from error
    return recordings


def _draw_event_count(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 1, 2, 3], p=[0.08, 0.37, 0.35, 0.2]))


def _cut_out(rng: np.random.Generator, scene: LabelledScene) -> LabelledScene:
    """Set all pixels to black except those of one visible category, or rarely of several."""
    visible = scene.visible()
    kept = _draw_some(rng, sorted(visible))[: None if rng.random() < 0.3 else 1]
    nothing = np.zeros(scene.labels.shape, bool)
    mask = sum((visible[category] for category in kept), nothing)
    return LabelledScene(
        np.where(mask[..., None], scene.frame, 0).astype(np.uint8),
        np.where(mask, scene.labels, 0).astype(np.uint8),
        scene.categories,
    )


def _draw_audible(rng: np.random.Generator, visible: Sequence[str]) -> list[str]:
    """Draw audible categories, each with probability 0.7 from the visible ones not yet drawn."""
    audible: list[str] = []
    for _ in range(_draw_event_count(rng)):
        silent = [c for c in visible if c not in audible]
        from_visible = bool(silent) and rng.random() < 0.7
        candidates = silent if from_visible else [c for c in CATEGORIES if c not in audible]
        audible.append(str(rng.choice(candidates)))
    return audible


def _draw_some(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Draw at least one of the words, if there are any, in random order."""
    count = int(rng.integers(1, 1 + len(words))) if words else 0
    return [str(w) for w in rng.permutation(list(words))[:count]]


def _repeat_some(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Shuffle words and repeat some, so that texts of all lengths occur in training."""
    words = words or [NOTHING]
    free = MAX_TEXT_WORDS - 1 - len(words)
    again = rng.choice(words, int(rng.integers(0, free + 1)))
    return [str(w) for w in rng.permutation([*words, *again])]


def _draw_caption(rng: np.random.Generator, visible: list[str]) -> list[str]:
    """Draw a caption: visible categories, an absent one, or both; then fill unused positions."""
    absent = [c for c in CATEGORIES if c not in visible]
    kind = rng.random()
    count = int(rng.integers(1, 1 + min(len(visible), MAX_WORDS))) if visible else 0
    # 45 % name one visible category, 33 % one or several, 10 % also an absent one, and 12 % only an
    # absent one or "nothing".
    if kind < 0.45:
        count = min(count, 1)
    words = [str(w) for w in rng.permutation(visible)[:count]]
    if kind >= 0.88 or not words:
        words = [str(rng.choice(absent))] if rng.random() < 0.6 else []
    elif kind >= 0.78 and len(words) < MAX_WORDS:
        words.append(str(rng.choice(absent)))
    free = MAX_WORDS - len(words)
    words += [NOTHING] * int(rng.integers(1 if not words else 0, free + 1))
    return [str(w) for w in rng.permutation(words)]


def _presence(names: set[str]) -> Tensor:
    # "nothing" is a class, so that an image without objects or silent audio has a target too.
    present = [float(c in names) for c in CATEGORIES]
    return torch.tensor([*present, float(not names)])


def _to_tensor(frame: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
