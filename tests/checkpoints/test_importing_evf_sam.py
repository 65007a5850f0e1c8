"""Import of EVF-SAM's files with those of its tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from avseg.backbones.sam1 import PromptedSam1Config
from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.errors import CheckpointError
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel
from tests.models.factories import BEIT3, SAM1, SAM2, randomise
from tests.published import published_evf_sam, write_tokenizer


def make_config(sam: Any) -> EvfSamConfig:
    """Return the sizes of a tiny EVF-SAM without stem, with rows for the tokenizer."""
    options = BEIT3.to_dict() | {"stem_channels": [], "vocab_size": 100}
    options.pop("transformers_version", None)
    return EvfSamConfig(sam_config=sam, beit3_config=type(BEIT3)(**options), max_text_tokens=8)


def make_files(sam: Any, folder: Path) -> tuple[EvfSamModel, list[Path], Path]:
    """Return a model, its published files, and its sizes."""
    config = make_config(sam)
    model = EvfSamModel(config)
    randomise(model)
    state = model.state_dict()
    first, second = (values for name, values in state.items() if "positional_embedding" in name)
    second.copy_(first)  # two copies of one published constant
    tokenizer = write_tokenizer(folder / "published")
    torch.save(published_evf_sam(model), folder / "published" / "evf.bin")
    config.to_json_file(folder / "config.json")
    return model, [folder / "published" / "evf.bin", tokenizer], folder / "config.json"


@pytest.mark.parametrize("sam", [SAM1, SAM2], ids=["sam1", "sam2"])
def test_an_imported_evf_sam_is_the_same_model_and_can_be_written_back(
    sam: Any, tmp_path: Path
) -> None:
    model, files, sizes = make_files(sam, tmp_path)
    checkpoint = import_checkpoint(files, tmp_path / "model", config=sizes)
    loaded, processor = load_checkpoint(find_checkpoint(checkpoint.folder))
    assert checkpoint.licence == "Apache-2.0"
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    # In the authors' code, those on SAM 1 predict a single mask and pad their frames.
    is_sam1 = isinstance(sam, PromptedSam1Config)
    assert loaded.config.multimask is not is_sam1
    assert loaded.config.keep_proportions is is_sam1
    assert vars(processor)["tokenizer"].encode("two cats")
    export_checkpoint(checkpoint.folder, tmp_path / "back.pth")
    before = torch.load(files[0], weights_only=True)
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], values) for name, values in before.items())


def test_added_tokens_are_copied_and_recorded(tmp_path: Path) -> None:
    _, files, sizes = make_files(SAM2, tmp_path)
    added = files[1].with_name("added_tokens.json")
    added.write_text('{"[semantic]": 90}')
    folder = import_checkpoint([*files, added], tmp_path / "model", config=sizes).folder
    _, processor = load_checkpoint(find_checkpoint(folder))
    assert 90 in vars(processor)["tokenizer"].encode("[semantic] two cats")
    described = json.loads((folder / "source.json").read_text())["sources"]
    assert [(source["file"], source["role"]) for source in described] == [
        ("evf.bin", "system"),
        ("sentencepiece.bpe.model", "tokenizer"),
        ("added_tokens.json", "tokenizer"),
    ]


def test_without_its_tokenizer_it_is_rejected(tmp_path: Path) -> None:
    _, files, sizes = make_files(SAM2, tmp_path)
    with pytest.raises(CheckpointError, match=r"EVF-SAM needs its tokenizer.*got none"):
        import_checkpoint(files[:1], tmp_path / "model", config=sizes)
    elsewhere = tmp_path / "added_tokens.json"
    elsewhere.write_text("{}")
    with pytest.raises(CheckpointError, match=r"in the same folder; got .*added_tokens\.json"):
        import_checkpoint([*files, elsewhere], tmp_path / "model", config=sizes)


def test_imagebind_takes_no_features_option(tmp_path: Path) -> None:
    _, files, sizes = make_files(SAM2, tmp_path)
    with pytest.raises(CheckpointError, match="is prompted with text; leave features='clap' out"):
        import_checkpoint(files, tmp_path / "model", config=sizes, features="clap")
