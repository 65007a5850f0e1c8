"""Configuration of AV2T-SAM."""

from pathlib import Path

import pytest

from avseg.backbones.sam1 import PromptedSam1Config
from avseg.models.av2t_sam import Av2tSam3Config, Av2tSamConfig
from avseg.models.av2t_sam.configuration import BridgeConfig


def test_the_defaults_are_the_papers_sizes() -> None:
    config = Av2tSamConfig()
    assert config.sam_config.image_size == 1024
    assert config.beit3_config.dim == 1024
    assert config.clip_config.projection_dim == 512
    assert config.clap_config.projection_dim == 1024
    assert (config.window_s, config.clap_config.sample_rate) == (1.0, 44100)


@pytest.mark.parametrize(
    "config",
    [
        Av2tSamConfig(),
        Av2tSamConfig(sam_config=PromptedSam1Config(image_size=512)),
        Av2tSamConfig.tiny(),
        Av2tSam3Config(),
        Av2tSam3Config.tiny(),
    ],
    ids=["paper", "sam1", "tiny", "sam3", "tiny-sam3"],
)
def test_a_saved_configuration_loads_as_the_same(tmp_path: Path, config: BridgeConfig) -> None:
    config.save_pretrained(tmp_path)
    assert type(config).from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_options_deep_inside_sam3_can_be_changed() -> None:
    changes = {"vision_config": {"backbone_config": {"image_size": 64}}}
    config = Av2tSam3Config.tiny(sam3_config=changes)
    before = Av2tSam3Config.tiny().to_dict()["sam3_config"]
    before["vision_config"]["backbone_config"]["image_size"] = 64
    assert config.to_dict()["sam3_config"] == before


def test_an_unknown_option_of_sam3_raises_an_error() -> None:
    changes = {"vision_config": {"backbone_config": {"side": 64}}}
    with pytest.raises(
        TypeError, match=r"^Sam3Config.vision_config.backbone_config has no option side; it has _n"
    ):
        Av2tSam3Config.tiny(sam3_config=changes)


@pytest.mark.parametrize("option", ["iou_head_weight", "inputs"])
def test_options_that_sam3_does_not_have_raise_an_error(option: str) -> None:
    with pytest.raises(TypeError, match=f"Av2tSam3Config has no option {option}"):
        Av2tSam3Config.tiny(**{option: 1.0})


def test_the_small_model_takes_changes() -> None:
    config = Av2tSamConfig.tiny(features="clap", clap_config={"hop": 128}, window_s=2.0)
    assert (config.features, config.clap_config.hop, config.window_s) == ("clap", 128, 2.0)
    assert Av2tSamConfig.tiny().features == "mul"


def test_a_copy_can_have_the_other_version_of_sam() -> None:
    config = Av2tSamConfig().replace(sam_config={"model_type": PromptedSam1Config.model_type})
    assert config.sam_config == PromptedSam1Config()


@pytest.mark.parametrize("options", [{"presence_weight": 0.2}, {"suppress_absent": True}])
def test_options_of_the_object_score_raise_an_error_with_sam1(options: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"need an object score, which SAM 1 lacks; leave both"):
        Av2tSamConfig(sam_config=PromptedSam1Config(), **options)  # type: ignore[arg-type]


def test_unknown_features_raise_an_error() -> None:
    with pytest.raises(Exception, match="features"):
        Av2tSamConfig(features="sum")  # type: ignore[arg-type]


def test_an_unknown_option_in_a_file_raises_an_error(tmp_path: Path) -> None:
    Av2tSamConfig().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"fused_dim"', '"fusion_dim"'))
    with pytest.raises(
        TypeError, match=r"no option fusion_dim; it has adapter_dim, adapters, beit"
    ):
        Av2tSamConfig.from_pretrained(tmp_path)


def test_a_window_too_long_for_the_audio_tower_raises_an_error() -> None:
    with pytest.raises(
        Exception, match=r"2.0 s is 32000 samples, the audio tower takes at most 16383"
    ):
        Av2tSamConfig.tiny(window_s=2.0)


@pytest.mark.parametrize(
    ("features", "clip", "clap"),
    [("clip", True, False), ("clap", False, True), ("mul", True, True)],
)
def test_the_features_decide_which_towers_are_used(features: str, clip: bool, clap: bool) -> None:
    config = Av2tSamConfig(features=features)  # type: ignore[arg-type]
    assert (config.uses_clip, config.uses_clap) == (clip, clap)
