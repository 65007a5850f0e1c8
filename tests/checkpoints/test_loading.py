"""A saved model is loaded unchanged, in float32; files that do not match are rejected."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from avseg.checkpoints import find_checkpoint, loading
from avseg.checkpoints.loading import Memory, load_checkpoint, save_packaged
from avseg.errors import CheckpointError
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig
from avseg.models.tpavi import TpaviConfig
from tests.models.factories import CONFIG, SAM1, SAMA, TPAVI, inputs, randomise
from tests.segmenters import save_random_baseline

PROCESSOR = Av2tSamProcessor.from_config(CONFIG)


@pytest.fixture
def model() -> Av2tSamModel:
    """Build a model with random weights."""
    model = Av2tSamModel(CONFIG).train(mode=False)
    randomise(model)
    return model


@pytest.fixture
def folder(model: Av2tSamModel, tmp_path: Path) -> Path:
    """Save it in float16, and return the folder."""
    return save_packaged(model, PROCESSOR, tmp_path / "packaged", "# Card\n").folder


def test_the_packaged_folder_has_all_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "processor_config.json",
    ]
    assert (folder / "README.md").read_text() == "# Card\n"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_are_stored_in_the_chosen_dtype_and_loaded_in_float32(
    dtype: torch.dtype, model: Av2tSamModel, tmp_path: Path
) -> None:
    save_packaged(model, PROCESSOR, tmp_path / "packaged", "", dtype)
    with safe_open(tmp_path / "packaged" / "model.safetensors", "pt") as file:
        stored = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 - not a dict
    loaded, processor = load_checkpoint(find_checkpoint(tmp_path / "packaged"))
    assert stored - {torch.int64} == {dtype}
    assert {values.dtype for values in loaded.parameters()} == {torch.float32}
    assert processor == PROCESSOR
    assert not loaded.training


def test_a_model_stored_in_float16_predicts_nearly_the_same_masks(
    model: Av2tSamModel, folder: Path
) -> None:
    loaded, _ = load_checkpoint(find_checkpoint(folder))
    clip = inputs()
    with torch.inference_mode():
        before, after = (m(**clip).mask_logits.sigmoid() for m in (model, loaded))
    torch.testing.assert_close(after, before, atol=5e-3, rtol=0)


def test_saving_does_not_change_the_model(model: Av2tSamModel, tmp_path: Path) -> None:
    save_packaged(model, PROCESSOR, tmp_path / "packaged", "")
    assert {values.dtype for values in model.parameters()} == {torch.float32}


def test_weights_too_large_for_the_package_are_rejected_and_leave_nothing(
    model: Av2tSamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_PACKAGED_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"take \d+\.\d MB, at most 0 MB.*float16"):
        save_packaged(model, PROCESSOR, tmp_path / "packaged", "")
    assert not list(tmp_path.iterdir())


def test_a_weight_too_large_for_float16_is_rejected(model: Av2tSamModel, tmp_path: Path) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)
    with pytest.raises(CheckpointError, match=r"1 weights are not finite as torch.float16, first"):
        save_packaged(model, PROCESSOR, tmp_path / "packaged", "")


def test_smaller_images_are_for_sam_2_only(tmp_path: Path) -> None:
    config = CONFIG.replace(sam_config=SAM1)
    Av2tSamModel(config).save_pretrained(tmp_path)
    Av2tSamProcessor.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"image_size 32 is for models on SAM 2; .* fit 64 only"
    ):
        load_checkpoint(find_checkpoint(tmp_path), image_size=32)


@pytest.mark.parametrize("config", [SAMA, TPAVI], ids=["sama", "tpavi"])
@pytest.mark.parametrize("memory", ["normal", "low"])
def test_the_baselines_are_loaded_in_the_same_way(
    config: SamaConfig | TpaviConfig, memory: Memory, tmp_path: Path
) -> None:
    save_random_baseline(tmp_path, config)
    model, processor = load_checkpoint(find_checkpoint(tmp_path), memory)
    assert (model.config.model_type, processor.window_s) == (config.model_type, 0.25)
    assert not model.training


def test_sama_on_sam2_takes_smaller_images_and_tpavi_does_not(tmp_path: Path) -> None:
    save_random_baseline(tmp_path / "sama", SAMA)
    model, processor = load_checkpoint(find_checkpoint(tmp_path / "sama"), image_size=32)
    assert model.config.sam_config.image_size == 32
    assert processor == FrameAudioProcessor(image_size=32, sample_rate=8000, window_s=0.25)
    save_random_baseline(tmp_path / "tpavi", TPAVI)
    with pytest.raises(CheckpointError, match=r"image_size 32 is for models on SAM 2; .* none"):
        load_checkpoint(find_checkpoint(tmp_path / "tpavi"), image_size=32)


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])


def change(name: str, **options: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | options))

    return edit


def spoil(name: str, text: str = "{") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, "cannot be loaded.*copy it again"),
        (spoil("config.json"), "is not a model configuration"),
        (spoil("config.json", "[]"), "is not a model configuration"),
        (spoil("config.json", "3"), "is not a model configuration"),
        (spoil("config.json", "[" * 50_000), "is not a model configuration"),
        (change("config.json", model_type={}), "model_type is {}, avseg has"),
        (spoil("processor_config.json"), "cannot be loaded"),
        (spoil("processor_config.json", "3"), "cannot be loaded"),
        (spoil("source.json"), "is damaged"),
        (spoil("source.json", "[]"), "is damaged"),
        (spoil("source.json", '{"sources": [{}]}'), "is damaged"),
        (spoil("environment.json", '[{"parts": 3}]'), "is damaged"),
        (change("config.json", model_type="clip"), "model_type is 'clip', avseg has avseg-a"),
        (change("config.json", colour="red"), "has no option colour"),
        (change("config.json", fused_dim="wide"), "'fused_dim' expected int"),
        (change("config.json", fused_dim=24), "do not fit Av2tSamModel: .* mismatched"),
        (change("config.json", adapters=False), "do not fit Av2tSamModel: .* unexpected"),
        (change("processor_config.json", sam_size=32), "sam_size=32.*the model needs.*sam_size=64"),
    ],
)
def test_a_folder_with_files_that_do_not_match_is_rejected(
    damage: Callable[[Path], None], message: str, folder: Path
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(find_checkpoint(folder))
