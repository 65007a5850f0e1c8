"""A small data set and a model that knows nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avseg.datasets import AVSBench
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from tests.segmenters import save_random_model


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Compute on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MS3 of SynthAVS with three clips in each split."""
    folder = tmp_path_factory.mktemp("data")
    write_synthavs(
        folder, SynthavsOptions(subset="ms3", clips=3, evaluation_clips=3, side=64), workers=1
    )
    return folder


@pytest.fixture(scope="session")
def split(data: Path) -> AVSBench:
    """Its test split in seen styles."""
    return AVSBench(data, "ms3", "test_seen", sample_rate=8000)


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """The smallest model with random weights."""
    return load_segmenter(save_random_model(tmp_path_factory.mktemp("model")), device="cpu")
