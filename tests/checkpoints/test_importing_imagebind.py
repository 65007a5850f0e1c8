"""Import of ImageBind's file with that of its tokenizer, for recipes to start from."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from avseg.backbones.imagebind import ImageBind, ImageBindConfig, ImageBindTokenizer
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.keymaps.formats import TOWER_KEY_MAPS
from avseg.checkpoints.model_folder import recorded_licences, restrictions
from avseg.checkpoints.tower_files import read_tower
from avseg.cli.main import app, run
from avseg.errors import CheckpointError
from avseg.training.parts import Part, load_part, part_licences
from tests.models.factories import randomise
from tests.published import IMAGEBIND_CONFIG, make_model, published_system, write_imagebind


@pytest.fixture
def model() -> ImageBind:
    """Build a model with random weights."""
    model = ImageBind(IMAGEBIND_CONFIG)
    randomise(model)
    return model


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """Write its sizes."""
    IMAGEBIND_CONFIG.to_json_file(tmp_path / "config.json")
    return tmp_path / "config.json"


def test_an_imported_imagebind_is_the_same_model_and_can_be_written_back(
    model: ImageBind, sizes: Path, tmp_path: Path
) -> None:
    files = write_imagebind(model, tmp_path / "published")
    folder = import_checkpoint(files, tmp_path / "model", config=sizes).folder
    again = ImageBind(ImageBindConfig.from_pretrained(folder))
    load_part(again, Part(folder / "model.safetensors", "imagebind."))
    assert all(torch.equal(again.state_dict()[n], v) for n, v in model.state_dict().items())
    tokenizer = ImageBindTokenizer.from_file(folder / ImageBindTokenizer.FILE)
    assert tokenizer.encode(["A dog"]).tolist() == [[517, 320, 513, 518]]
    tensors = load_file(folder / "model.safetensors")
    back = TOWER_KEY_MAPS["imagebind"].to_published(tensors)
    back |= load_file(folder / "unused.safetensors")
    before = torch.load(files[0], weights_only=True)
    assert back.keys() == before.keys()
    assert all(torch.equal(back[name], values) for name, values in before.items())


def test_the_licence_of_imagebind_is_recorded(
    model: ImageBind, sizes: Path, tmp_path: Path
) -> None:
    files = write_imagebind(model, tmp_path / "published")
    checkpoint = import_checkpoint(files, tmp_path / "model", config=sizes)
    assert checkpoint.licence == "CC-BY-NC-SA-4.0"
    described = json.loads((checkpoint.folder / "source.json").read_text())["sources"]
    assert [(s["role"], s["format"], s["licence"]) for s in described] == [
        ("imagebind", "imagebind", "CC-BY-NC-SA-4.0"),
        ("tokenizer", "clip-bpe", "MIT"),
    ]
    recorded = recorded_licences(checkpoint.folder)
    assert restrictions(recorded) == ("CC-BY-NC-SA-4.0",)
    assert part_licences(Part(checkpoint.folder / "model.safetensors")) == recorded
    assert part_licences(Part(files[0], is_published=True)) == ["CC-BY-NC-SA-4.0"]


def test_training_can_start_from_the_published_file(model: ImageBind, tmp_path: Path) -> None:
    file, _ = write_imagebind(model, tmp_path / "published")
    tensors = read_tower(file, model.state_dict())
    assert all(torch.equal(tensors[n], values) for n, values in model.state_dict().items())


def test_without_its_tokenizer_it_is_rejected(
    model: ImageBind, sizes: Path, tmp_path: Path
) -> None:
    files = write_imagebind(model, tmp_path / "published")
    with pytest.raises(CheckpointError, match=r"ImageBind needs its tokenizer, one file; got none"):
        import_checkpoint(files[:1], tmp_path / "model", config=sizes)


def test_a_file_of_other_sizes_is_rejected(model: ImageBind, tmp_path: Path) -> None:
    files = write_imagebind(model, tmp_path / "published")
    with pytest.raises(CheckpointError, match=r"does not fit the model's ImageBind: .* missing"):
        import_checkpoint(files, tmp_path / "model")


def test_imagebind_is_rejected_beside_a_system_that_does_not_use_it(
    model: ImageBind, tmp_path: Path
) -> None:
    files = write_imagebind(model, tmp_path / "published")
    torch.save(published_system(make_model()), tmp_path / "av2t.pth")
    with pytest.raises(CheckpointError, match=r"this AV2T-SAM (needs|does not use)"):
        import_checkpoint([tmp_path / "av2t.pth", files[0]], tmp_path / "model")


def test_the_command_prints_the_licence_and_the_use_of_the_folder(
    model: ImageBind,
    sizes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    files = write_imagebind(model, tmp_path / "published")
    arguments = [*map(str, files), "-o", str(tmp_path / "model"), "--config", str(sizes)]
    assert run(app, ["import-checkpoint", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "CC-BY-NC-SA-4.0 allows no commercial use." in shown
    assert "--set start_from.imagebind=" in shown
