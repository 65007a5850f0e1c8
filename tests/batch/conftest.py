"""Models with random weights for the tests of batches."""

from pathlib import Path

import pytest

from avseg.segmenter import Segmenter, load_segmenter
from tests.segmenters import save_random_cascade, save_random_model, save_random_text_model


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model that uses the audio."""
    return save_random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="package")
def segmenter(folder: Path) -> Segmenter:
    """A segmenter with that model."""
    return load_segmenter(folder, "cpu")


@pytest.fixture(scope="package")
def text_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that is prompted by texts."""
    folder = save_random_text_model(tmp_path_factory.mktemp("models") / "random_text")
    return load_segmenter(folder, "cpu")


@pytest.fixture(scope="package")
def naming_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that names sounding objects: dog, cat, bus."""
    return load_segmenter(save_random_cascade(tmp_path_factory.mktemp("models") / "naming"), "cpu")
