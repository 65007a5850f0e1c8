"""The paper's recipes at a tiny size, from files in their published form."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.sam3_building import make_sam3
from avseg.errors import TrainingError
from avseg.models.av2t_sam.modeling import TRAINABLE_SAM3
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel
from avseg.segmenter import load_segmenter
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.run import run_recipe
from tests.models.factories import randomise
from tests.models.open_parts import SAM3, publish_sam3
from tests.published import (
    SAM1_CONFIG,
    SAM2_CONFIG,
    make_model,
    published_evf_sam,
    published_tower,
    write_tokenizer,
)
from tests.training import tiny


def write_parts(config: Any, folder: Path) -> dict[str, str]:
    """Write an imported EVF-SAM, and the two towers in their published form."""
    beit3 = config.beit3_config.to_dict() | {"vocab_size": 100}
    beit3.pop("transformers_version", None)
    sizes = EvfSamConfig(sam_config=config.sam_config, beit3_config=beit3, max_text_tokens=8)
    evf_sam = EvfSamModel(sizes)
    randomise(evf_sam, seed=4)
    state = evf_sam.state_dict()
    first, second = (values for name, values in state.items() if "positional_embedding" in name)
    second.copy_(first)  # two copies of one published constant
    files = [folder / "evf.bin", write_tokenizer(folder)]
    torch.save(published_evf_sam(evf_sam), files[0])
    sizes.to_json_file(folder / "config.json")
    import_checkpoint(files, folder / "evf", config=folder / "config.json")
    towers = make_model(config)
    torch.save({"model": published_tower(towers, "clap-2023")}, folder / "clap.pth")
    torch.save(published_tower(towers, "clip"), folder / "clip.bin")
    return {
        "segmenter": str(folder / "evf"),
        "clap": str(folder / "clap.pth"),
        "clip": str(folder / "clip.bin"),
    }


@pytest.mark.parametrize(
    ("name", "config"),
    [("av2t_sam1_ms3", SAM1_CONFIG), ("av2t_sam2_s4", SAM2_CONFIG)],
    ids=["sam1", "sam2"],
)
def test_a_recipe_of_the_paper_trains_from_published_files(
    name: str, config: Any, data: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(name)
    sizes = config.replace(beit3_config={"vocab_size": 100}).to_dict()
    options = ("sam_config", "beit3_config", "clip_config", "clap_config", "fused_dim")
    changed = {option: sizes[option] for option in (*options, "adapter_dim", "window_s")}
    few = tiny.TRAINER | {"max_steps": 1, "save_strategy": "epoch", "dataloader_num_workers": 0}
    recipe = replace(
        recipe,
        model=recipe.model | changed,
        start_from=write_parts(config, tmp_path),
        trainer=recipe.trainer | few,
    )
    metrics = run_recipe(recipe, tmp_path / "run", data)
    subset = name.rpartition("_")[2]
    assert {f"eval_{subset}_val_j", f"eval_{subset}_test_j"} <= metrics.keys()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    trained, _ = load_checkpoint(find_checkpoint(tmp_path / "run"))
    towers = make_model(config)
    for part in ("clip", "clap"):
        for key, values in towers.get_submodule(part).state_dict().items():
            assert torch.equal(trained.get_submodule(part).state_dict()[key], values), key
    assert load_segmenter(tmp_path / "run", "cpu").name == "run"


@pytest.fixture(scope="module")
def published_sam3(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write an imported SAM 3, and the two towers in their published form."""
    folder = tmp_path_factory.mktemp("sam3")
    make_sam3(publish_sam3(folder / "published"), folder / "sam3")
    return write_parts(SAM2_CONFIG, folder) | {"segmenter": str(folder / "sam3")}


def recipe_on_sam3(name: str, start_from: dict[str, str]) -> Recipe:
    """Return a recipe of AV2T-SAM on SAM 3 at the sizes of tiny published files."""
    recipe = load_recipe(name)
    sizes = SAM2_CONFIG.to_dict()
    options = ("clip_config", "clap_config", "fused_dim", "adapter_dim", "window_s")
    few = tiny.TRAINER | {"max_steps": 1, "save_strategy": "epoch", "dataloader_num_workers": 0}
    return replace(
        recipe,
        model={"sam3_config": SAM3.to_dict(), **{option: sizes[option] for option in options}},
        start_from=start_from,
        trainer=recipe.trainer | few,
    )


@pytest.mark.parametrize("name", ["av2t_sam3_s4", "av2t_sam3_ms3"])
def test_a_recipe_on_sam3_trains_from_published_files(
    name: str, published_sam3: dict[str, str], data: Path, tmp_path: Path
) -> None:
    metrics = run_recipe(recipe_on_sam3(name, published_sam3), tmp_path / "run", data)
    subset = name.rpartition("_")[2]
    assert {f"eval_{subset}_val_j", f"eval_{subset}_test_j"} <= metrics.keys()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    trained, _ = load_checkpoint(find_checkpoint(tmp_path / "run"))
    start = load_file(Path(published_sam3["segmenter"]) / "model.safetensors")
    for key, values in trained.state_dict().items():
        if key.startswith("segmenter.") and not key.startswith(TRAINABLE_SAM3):
            assert torch.equal(values, start[key]), key
    [begun] = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert begun["parts"]["segmenter"]["licences"] == ["SAM License"]
    assert "SAM License" in str(find_checkpoint(tmp_path / "run").licence)


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ("text_projection.weight", r"1 missing \(sam3.text_projection.weight\), 1 unknown"),
        ("detr_decoder.presence_head.layer3.bias", r"1 missing \(sam3.detr_decoder.presence"),
    ],
)
def test_a_sam3_with_a_renamed_weight_is_refused(
    renamed: str, message: str, published_sam3: dict[str, str], data: Path, tmp_path: Path
) -> None:
    shutil.copytree(published_sam3["segmenter"], tmp_path / "renamed")
    path = tmp_path / "renamed" / "model.safetensors"
    weights = load_file(path)
    weights["segmenter.sam3.other"] = weights.pop(f"segmenter.sam3.{renamed}")
    save_file(weights, path)
    start_from = published_sam3 | {"segmenter": str(tmp_path / "renamed")}
    with pytest.raises(TrainingError, match=message):
        run_recipe(recipe_on_sam3("av2t_sam3_s4", start_from), tmp_path / "run", data)
    assert not (tmp_path / "run" / "trained.safetensors").exists()
