"""Export of imported models: the same keys and tensors as in the published file."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.errors import CheckpointError, OutputError
from tests.models.factories import TPAVI
from tests.published import (
    SAM1_CONFIG,
    SAM2_CONFIG,
    make_model,
    published_tower,
    write_config,
    write_published,
)
from tests.segmenters import save_random_baseline


@pytest.mark.parametrize(
    "config",
    [SAM2_CONFIG, SAM1_CONFIG, SAM2_CONFIG.replace(features="clap", adapters=False)],
    ids=["sam2", "sam1", "clap-plain"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_was_imported_can_be_written_as_it_was(
    config: Any, suffix: str, tmp_path: Path
) -> None:
    files = write_published(make_model(config), tmp_path / "published")
    sizes = write_config(config, tmp_path)
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    output = tmp_path / f"back{suffix}"
    export_checkpoint(folder, output)
    before = torch.load(files[0], weights_only=True)
    after = load_file(output) if suffix == ".safetensors" else torch.load(output, weights_only=True)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], values) for name, values in before.items())


def test_an_exported_checkpoint_records_its_towers_files(tmp_path: Path) -> None:
    model = make_model()
    files = write_published(model, tmp_path / "published")
    sizes = write_config(SAM2_CONFIG, tmp_path)
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    exported = tmp_path / "av2t.safetensors"
    export_checkpoint(folder, exported)
    import_checkpoint([exported, *files[1:]], tmp_path / "again", config=sizes)
    right = sha256(files[1].read_bytes()).hexdigest()
    torch.save(published_tower(make_model(seed=1), "clap-2023"), files[1])
    with pytest.raises(CheckpointError, match=rf"clap\.pth: is not the .* should be {right}"):
        import_checkpoint([exported, *files[1:]], tmp_path / "other", config=sizes)


def test_a_model_that_was_not_imported_is_exported_without_unused_tensors(
    tmp_path: Path,
) -> None:
    model = make_model()
    files = write_published(model, tmp_path / "published")
    sizes = write_config(SAM2_CONFIG, tmp_path)
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    for name in ("unused.safetensors", "source.json"):
        (folder / name).unlink()
    export_checkpoint(folder, tmp_path / "back.pth")
    names = set(torch.load(tmp_path / "back.pth", weights_only=True))
    missing = set(torch.load(files[0], weights_only=True)) - names
    assert {name.split(".")[-1] for name in missing} >= {"mask_token", "no_obj_ptr"}


def test_a_folder_that_is_no_model_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a complete model"):
        export_checkpoint(tmp_path, tmp_path / "back.pth")


def test_an_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    files = write_published(make_model(), tmp_path / "published")
    sizes = write_config(SAM2_CONFIG, tmp_path)
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    with pytest.raises(OutputError, match="cannot be created"):
        export_checkpoint(folder, files[0] / "below" / "back.pth")


@pytest.mark.parametrize("name", ["unused.safetensors", "model.safetensors", "config.json"])
def test_a_damaged_file_of_the_model_is_an_error(name: str, tmp_path: Path) -> None:
    files = write_published(make_model(), tmp_path / "published")
    sizes = write_config(SAM2_CONFIG, tmp_path)
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    (folder / name).write_bytes(b"half a fi")
    with pytest.raises(CheckpointError, match=r"model.*(copy|import)"):
        export_checkpoint(folder, tmp_path / "back.pth")
    assert not (tmp_path / "back.pth").exists()


def test_a_model_without_a_published_format_is_an_error(tmp_path: Path) -> None:
    folder = save_random_baseline(tmp_path / "model", TPAVI)
    # Some of these families record the files of their parts, without a format.
    parts = [{"role": "namer", "file": "a.pth", "sha256": 64 * "0", "licence": None}]
    (folder / "source.json").write_text(json.dumps({"sources": parts}))
    with pytest.raises(CheckpointError, match=r"avseg-tpavi has no published file format"):
        export_checkpoint(folder, tmp_path / "back.pth")
