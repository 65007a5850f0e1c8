"""Data sets and finished runs to start from, made once."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from avseg.synthavs.corpora import load_sound_bank
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.training.pretraining import builders
from avseg.training.run import run_recipe
from tests.training import tiny


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Compute on one core: threads slow down models as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def one_second_of_each_category() -> Iterator[None]:
    """Synthesise as little audio as possible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "_EVALUATION_RECORDINGS", 1)
        patch.setattr(builders, "load_sound_bank", partial(load_sound_bank, seconds=1))
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """S4 and MS3 of SynthAVS with two training clips each."""
    folder = tmp_path_factory.mktemp("data")
    for subset in ("s4", "ms3"):
        recipe = SynthavsOptions(subset=subset, clips=2, evaluation_clips=1, side=64)
        write_synthavs(folder, recipe, workers=1)
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs that trained the parts of the smallest model."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe in (tiny.CLIP, tiny.CLAP, tiny.SEGMENTER):
        run_recipe(recipe, folder / recipe.name)
    return folder
