"""Parts of a model: where their weights are looked up, and what must fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from avseg.checkpoints.known_models import RELEASES, TOWER_FILES
from avseg.checkpoints.model_folder import Checkpoint
from avseg.errors import CheckpointError, TrainingError
from avseg.training import parts
from avseg.training.parts import Part, find_part, find_weights, load_part, loaded_parts
from tests.published import make_model, published_tower


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    save_file({"tower.weight": torch.ones(2, 3), "tower.bias": torch.ones(2)}, weights)
    return weights


def test_a_name_is_looked_up_among_the_runs(tmp_path: Path) -> None:
    weights = make_run(tmp_path / "runs" / "clip")
    assert find_weights("clip", tmp_path / "runs") == weights


def test_an_existing_path_is_used_unchanged(tmp_path: Path) -> None:
    weights = make_run(tmp_path / "elsewhere" / "clip")
    assert find_weights(str(tmp_path / "elsewhere" / "clip"), tmp_path / "runs") == weights


def test_the_error_of_a_missing_run_has_the_command_that_trains_it(tmp_path: Path) -> None:
    command = f"avseg train clip --output {tmp_path / 'clip'}"
    with pytest.raises(TrainingError, match="there is no run 'clip'") as error:
        find_weights("clip", tmp_path)
    assert command in str(error.value)


def test_a_run_that_did_not_finish_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip" / "checkpoint-5").mkdir(parents=True)
    with pytest.raises(TrainingError, match="did not finish; start it again"):
        find_weights("clip", tmp_path)


def test_a_part_is_loaded_from_the_weights_with_its_prefix(tmp_path: Path) -> None:
    part = nn.Linear(3, 2)
    load_part(part, Part(make_run(tmp_path / "clip"), "tower."))
    assert part.weight.eq(1).all()


@pytest.mark.parametrize(
    ("part", "prefix", "message"),
    [
        (nn.Linear(3, 2), "segmenter.", r"segmenter.\* do not fit: 2 missing \(bias\)"),
        (nn.Linear(3, 2, bias=False), "tower.", r"1 unknown \(bias\)"),
        (nn.Linear(4, 2), "tower.", r"1 of another shape \(weight \(2, 3\) instead of \(2, 4\)\)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_weights_that_do_not_fit_are_an_error(
    part: nn.Module, prefix: str, message: str, tmp_path: Path
) -> None:
    weights = make_run(tmp_path / "clip")
    with pytest.raises(TrainingError, match=message):
        load_part(part, Part(weights, prefix))


def test_a_published_model_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Checkpoint("evf-sam2", tmp_path / "imported")
    monkeypatch.setattr(parts, "find_checkpoint", {"evf-sam2": found}.__getitem__)
    part = find_part("evf-sam2", tmp_path / "runs", "segmenter.")
    assert part == Part(tmp_path / "imported" / "model.safetensors", "segmenter.")


def test_a_published_tower_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {TOWER_FILES["msclap-2023"]: tmp_path / "clap.pth"}
    monkeypatch.setattr("avseg.checkpoints.download.download", files.__getitem__)
    part = find_part("msclap-2023", tmp_path / "runs", "tower.")
    assert part == Part(tmp_path / "clap.pth", is_published=True)


def test_the_error_of_a_backbone_to_download_by_hand_explains_how(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"download https://.*import-checkpoint"):
        find_part("imagebind-huge", tmp_path, "")


def test_a_run_comes_before_published_weights_of_the_same_name(tmp_path: Path) -> None:
    name = next(iter(RELEASES))
    weights = make_run(tmp_path / name)
    assert find_part(name, tmp_path, "tower.") == Part(weights, "tower.")


@pytest.mark.parametrize("tower", ["clip", "clap-2023"])
def test_a_published_tower_is_read_with_its_authors_names(tower: str, tmp_path: Path) -> None:
    model, other = make_model(seed=0), make_model(seed=1)
    torch.save(published_tower(model, tower), tmp_path / "tower.pth")
    part = find_part(str(tmp_path / "tower.pth"), tmp_path, "tower.")
    ours = {"clip": other.clip, "clap-2023": other.clap}[tower]
    assert ours is not None
    load_part(ours, part)
    theirs = {"clip": model.clip, "clap-2023": model.clap}[tower]
    assert theirs is not None
    for name, values in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], values), name


def test_frozen_weights_can_stay_in_the_file_and_trainable_ones_cannot(tmp_path: Path) -> None:
    frozen, trained = nn.Linear(3, 2), nn.Linear(3, 2)
    frozen.requires_grad_(requires_grad=False)
    for module in (frozen, trained):
        load_part(module, Part(make_run(tmp_path / str(id(module))), "tower.", in_file=True))
        assert module.weight.eq(1).all()
    addresses = Path("/proc/self/maps")
    if addresses.exists():
        assert is_mapped(frozen.weight, "model.safetensors")
        assert not is_mapped(trained.weight, "model.safetensors")


def test_loaded_parts_are_listed_while_their_files_exist(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    weights = make_run(tmp_path / "clip")
    load_part(model[1], Part(weights, "tower."))
    ((part, file),) = loaded_parts(model)
    assert (part.into, part.prefix, file) == ("1.", "tower.", weights)
    weights.unlink()
    assert loaded_parts(model) == []


def is_mapped(values: torch.Tensor, name: str) -> bool:
    """Return whether a tensor is in a memory-mapped file of that name."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(place, 16) for place in line.split()[0].split("-"))
        if first <= values.data_ptr() < last:
            return line.endswith(name)
    return False
