"""The paper's recipes at a tiny size, from files in their published form."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel
from avseg.segmenter import load_segmenter
from avseg.training.recipe import load_recipe
from avseg.training.run import run_recipe
from tests.models.factories import randomise
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
