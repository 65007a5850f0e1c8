"""Clips of version 2 keep their bytes: hashes of frames, object numbers and 16-bit audio."""

import hashlib

import numpy as np
import pytest

from avseg.datasets.layout import Release
from avseg.synthavs.categories import CATEGORIES, TRAIN_STYLES
from avseg.synthavs.corpora import (
    AudioImageTextCorpus,
    AudioTextCorpus,
    ImageTextCorpus,
    TextPromptCorpus,
)
from avseg.synthavs.generators import SynthavsOptions, draw_clip

#: SHA-256 of the first two clips of each split, recorded before version 3 existed.
DIGESTS: dict[tuple[Release, str], str] = {
    ("s4", "train"): "8a03418acb4a0399",
    ("s4", "val"): "7748d91bc5f18695",
    ("s4", "test"): "7d731c4832f2702c",
    ("s4", "test_seen"): "92fae8a271346540",
    ("s4", "test_zero_shot"): "cad1d0fecd2fbdee",
    ("ms3", "train"): "67e73a6f113f8990",
    ("ms3", "val"): "b7f722f5d3357abe",
    ("ms3", "test"): "44a1aab2dcc06923",
    ("ms3", "test_seen"): "f10f9e108a0b4240",
    ("ms3", "test_zero_shot"): "d7038d0755995f8c",
    ("avss", "train"): "fd86b4f9ae700d7b",
    ("avss", "val"): "e97be1c4e2e6bcf5",
    ("avss", "test"): "88af8de6a855138e",
    ("avss", "test_seen"): "1b697763e6948612",
    ("avss", "test_zero_shot"): "8ddac7a9ce805d92",
}


def digest(subset: Release, split: str) -> str:
    """Hash the frames, object numbers and 16-bit audio of two clips of 64 pixels."""
    options = SynthavsOptions(subset=subset, clips=2, side=64, seed=3)
    hashed = hashlib.sha256()
    for index in range(2):
        clip = draw_clip(options, split, index)
        for second in range(clip.seconds):
            for pixels in clip.frame(second):
                hashed.update(pixels.tobytes())
        hashed.update(np.round(clip.audio * 32767).astype("<i2").tobytes())
    return hashed.hexdigest()[:16]


@pytest.mark.parametrize(("subset", "split"), DIGESTS, ids="-".join)
def test_a_clip_of_version_2_has_the_recorded_bytes(subset: Release, split: str) -> None:
    assert digest(subset, split) == DIGESTS[subset, split]


def corpus_digest() -> str:
    """Hash an item of each kind of corpus of version 2, with recordings of noise."""
    rng = np.random.default_rng(0)
    sounds = {c: rng.integers(-9000, 9000, (2, 48000)).astype(np.int16) for c in CATEGORIES}
    items = (
        TextPromptCorpus(3, TRAIN_STYLES, 64, prompts=3, seed=1)[2],
        ImageTextCorpus(3, TRAIN_STYLES, 64, seed=1)[1],
        AudioTextCorpus(3, sounds, seed=1)[0],
        AudioImageTextCorpus(3, TRAIN_STYLES, 64, sounds, seed=1)[2],
    )
    hashed = hashlib.sha256()
    for item in items:
        for name in sorted(item):
            values = item[name].numpy()
            if name == "audio_values":
                values = np.round(values * 32767).astype("<i2")
            hashed.update(np.ascontiguousarray(values).tobytes())
    return hashed.hexdigest()[:16]


def test_the_corpora_of_version_2_have_the_recorded_bytes() -> None:
    assert corpus_digest() == "5bf7d2ad4fc22c88"
