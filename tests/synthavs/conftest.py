"""A small SynthAVS."""

from pathlib import Path

import pytest

from avseg.datasets import AVSBench
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write MS3 with three clips in each split."""
    folder = tmp_path_factory.mktemp("data")
    write_synthavs(
        folder, SynthavsOptions(subset="ms3", clips=3, evaluation_clips=3, side=64), workers=1
    )
    return folder


@pytest.fixture(scope="module")
def split(data: Path) -> AVSBench:
    """Open the test split in seen styles."""
    return AVSBench(data, "ms3", "test_seen", sample_rate=8000)
