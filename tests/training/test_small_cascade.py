"""A cascade assembled from runs of the small backbones."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipTextTower
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.errors import TrainingError
from avseg.models.cascade import CascadeConfig
from avseg.models.tiny import tiny_text_tower
from avseg.segmenter import load_segmenter
from avseg.synthavs.categories import CATEGORIES
from avseg.training.small_cascade import save_cascade
from tests.models.factories import CASCADE, CLAP, SAM2
from tests.segmenters import make_video, tone


@pytest.fixture
def config() -> CascadeConfig:
    """Configuration with a vocabulary of all words of SynthAVS."""
    text = tiny_text_tower(39, 2, CLAP.projection_dim)
    return CASCADE.replace(
        namer_config={"text_config": text}, segmenter_config={"beit3_config": {"vocab_size": 39}}
    )


def save_runs(config: CascadeConfig, runs: Path) -> None:
    """Write the weights of both pre-training runs, with random values."""
    torch.manual_seed(0)
    parts = {
        "tower.": ClapAudioTower(CLAP),
        "text_tower.": ClipTextTower(config.namer_config.text_config),
        "segmenter.": TextPromptedSam(SAM2, config.segmenter_config.beit3_config),
    }
    states = {
        f"{prefix}{name}": values
        for prefix, module in parts.items()
        for name, values in module.state_dict().items()
    }
    heard = {name: values for name, values in states.items() if "tower." in name}
    scale = {"log_scale": torch.tensor(3.5), "bias": torch.tensor(-2.0)}
    seen = {name: values for name, values in states.items() if name.startswith("segmenter.")}
    for run, weights in (("heard", heard | scale), ("seen", seen)):
        (runs / run).mkdir(parents=True)
        save_file(weights, runs / run / "model.safetensors")


def test_two_runs_become_a_cascade_with_the_names_of_synthavs(
    config: CascadeConfig, tmp_path: Path
) -> None:
    save_runs(config, tmp_path / "runs")
    save_cascade("heard", "seen", tmp_path / "runs", tmp_path / "cascade", config)
    segmenter = load_segmenter(tmp_path / "cascade", "cpu")
    assert segmenter.vocabulary == CATEGORIES
    assert segmenter.model.get_parameter("namer.log_scale").item() == 3.5
    sources = segmenter(make_video(tmp_path / "a.mp4", tone(1), seconds=1), 1).sources or ()
    assert {source.name for source in sources} <= set(CATEGORIES)
    assert len(sources) == 2


def test_a_run_of_other_sizes_is_an_error(config: CascadeConfig, tmp_path: Path) -> None:
    save_runs(config, tmp_path / "runs")
    with pytest.raises(TrainingError, match="do not fit"):
        save_cascade("heard", "seen", tmp_path / "runs", tmp_path / "cascade")
