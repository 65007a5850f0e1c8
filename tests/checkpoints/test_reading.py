"""Weight files are read without running code, and damaged ones are explained."""

import argparse
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avseg.checkpoints.reading import read_published
from avseg.errors import CheckpointError

STATE = {"layer.weight": torch.arange(2000.0), "layer.bias": torch.zeros(3)}


class Attack:
    """Object in a malicious pickle: a call that is made when it is read."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path(os.environ["ATTACKED"]),)  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
def test_every_kind_of_file_is_read_as_tensors(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    read = read_published(path)
    assert read.tensors.keys() == STATE.keys()
    assert all(torch.equal(read.tensors[name], values) for name, values in STATE.items())
    assert read.files == (path,)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_a_wrapped_state_dict_is_unwrapped(wrapper: str, tmp_path: Path) -> None:
    torch.save({wrapper: STATE, "epoch": 3}, tmp_path / "w.pth")
    assert read_published(tmp_path / "w.pth").tensors.keys() == STATE.keys()


def test_the_old_format_of_pickles_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert read_published(tmp_path / "w.pth").tensors.keys() == STATE.keys()


def test_a_folder_with_one_weight_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file(STATE, tmp_path / "model.safetensors")
    assert read_published(tmp_path).files == (tmp_path / "model.safetensors",)
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"it has model\.safetensors, pytorch_model\.bin\."):
        read_published(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_rejected_and_never_runs(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACKED", str(tmp_path / "attacked"))
    state = STATE | {"extra": Attack()}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"w\.pth: contains \S+ besides .*never runs"):
        read_published(tmp_path / "w.pth")
    assert not (tmp_path / "attacked").exists()


def test_objects_besides_tensors_are_rejected(tmp_path: Path) -> None:
    torch.save({"model": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"contains argparse\.Namespace besides tensors"):
        read_published(tmp_path / "w.pth")


def test_values_that_are_no_tensors_are_rejected(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="is not a checkpoint of named tensors"):
        read_published(tmp_path / "w.pth")


def test_a_torchscript_archive_is_rejected_with_an_alternative(tmp_path: Path) -> None:
    """Write an archive like `ViT-B-32.pt`, without torch, which deprecates writing it."""
    path = tmp_path / "w.pt"
    torch.save(STATE, path)
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w/constants.pkl", pickle.dumps(()))
    with pytest.raises(CheckpointError, match=r"TorchScript.*openai/clip-vit-base-patch32"):
        read_published(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_html(path: Path) -> None:
    path.write_text("<html>404")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


@pytest.mark.parametrize("damage", [cut, write_html, empty])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_rejected(
    damage: Callable[[Path], None], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"w{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    damage(path)
    with pytest.raises(CheckpointError, match=r"is damaged or no weight file \(.+\); download it"):
        read_published(path)


def test_an_old_pickle_that_ends_early_is_rejected(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    cut(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_published(tmp_path / "w.pth")


def test_a_pickle_that_torch_did_not_write_is_rejected(tmp_path: Path) -> None:
    foreign_pickle(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="does not begin as tensors saved by PyTorch do"):
        read_published(tmp_path / "w.pth")


def test_a_file_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: there is no such file"):
        read_published(tmp_path / "none.pth")


def bad_memo(path: Path) -> None:
    path.write_bytes(b"\x80\x02h\x05.")  # fetches an object that was never stored


def integer_keys(path: Path) -> None:
    torch.save({0: torch.zeros(2), 1: torch.zeros(2)}, path)


def unsorted_keys(path: Path) -> None:
    torch.save({"a": torch.zeros(2), (1, 2): torch.zeros(2)}, path)


@pytest.mark.parametrize("damage", [bad_memo, integer_keys, unsorted_keys])
def test_a_pickle_with_other_content_is_rejected(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    damage(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth: is (damaged|not a checkpoint of named)"):
        read_published(tmp_path / "w.pth")


@pytest.mark.parametrize("end", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_pickle_with_a_changed_byte_is_rejected_or_read(
    end: float, value: int, tmp_path: Path
) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[round(end * len(content))] = value
    (tmp_path / "w.pth").write_bytes(content)
    with suppress(CheckpointError):
        read_published(tmp_path / "w.pth")


@pytest.mark.parametrize("note", ["{", "[]", "3", "null", "[" * 50_000])
def test_metadata_that_is_no_json_object_is_rejected(note: str, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors", metadata={"trained_with": note})
    with pytest.raises(CheckpointError, match="metadata 'trained_with' is not a JSON object"):
        read_published(tmp_path / "w.safetensors")


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": {}}}'])
def test_a_damaged_index_is_rejected(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"model\.index\.json: is not an index of shards"):
        read_published(tmp_path)
