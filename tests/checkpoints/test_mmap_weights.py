"""Memory-mapped weights: the same results, the same training, and released memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints import mmap_weights as mapped
from avseg.checkpoints.loading import load_checkpoint, save_packaged
from avseg.checkpoints.mmap_weights import MappedWeights
from avseg.errors import CheckpointError
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.models.model import AvsegModel
from tests.models.factories import CONFIG, SAM1, inputs, randomise

CONFIGS = {"SAM 2": CONFIG, "SAM": CONFIG.replace(sam_config=SAM1)}


def save(config: Any, folder: Path) -> Path:
    """Save a model with random weights."""
    model = Av2tSamModel(config)
    randomise(model)
    model.save_pretrained(folder)
    Av2tSamProcessor.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a model, all of whose frozen weights count as large."""
    monkeypatch.setattr(mapped, "RELEASED_FROM_BYTES", 0)
    return save(CONFIGS[request.param], tmp_path / "model")


def load(folder: Path, memory: Any) -> AvsegModel:
    """Load the model of a folder."""
    return load_checkpoint(find_checkpoint(folder), memory)[0]


def resident_bytes(path: Path) -> int:
    """Count the bytes of a mapped file that are in this process's memory."""
    total, of_file = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            of_file = line.endswith(str(path))
        elif of_file and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def test_masks_are_the_same_to_the_last_bit(folder: Path) -> None:
    clip = inputs()
    with torch.inference_mode():
        held, in_file = (load(folder, memory)(**clip) for memory in ("normal", "low"))
    assert torch.equal(in_file.mask_logits, held.mask_logits)
    assert torch.equal(in_file.iou_predictions, held.iou_predictions)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_step_is_the_same_to_the_last_bit(folder: Path, checkpointing: bool) -> None:
    clip = inputs() | {"targets": (torch.rand(1, 2, 64, 64) > 0.5).float()}
    after = []
    for memory in ("normal", "low"):
        model = load(folder, memory).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(trained.values(), lr=0.1)
        model(**clip).loss.backward()
        optimizer.step()
        after.append((trained, model(**clip).loss))
    (held, loss), (in_file, loss_in_file) = after
    assert torch.equal(loss, loss_in_file)
    assert all(torch.equal(in_file[name], values) for name, values in held.items())


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_a_layer_releases_its_memory_after_forward_and_after_backward(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(4)]).eval()
    save_file(model.state_dict(), path)
    before, layer = path.read_bytes(), 4 * 1024**2
    weights = MappedWeights(path)
    model.load_state_dict(weights.tensors, assign=True)
    model.requires_grad_(requires_grad=False)
    outputs = model(torch.randn(1, 1024, requires_grad=True))
    assert resident_bytes(path) > 3 * layer
    weights.release_after_use(model)
    assert torch.equal(model(torch.ones(1, 1024)), model(torch.ones(1, 1024)))
    assert resident_bytes(path) < layer / 2
    model(torch.randn(1, 1024, requires_grad=True)).sum().backward()
    assert resident_bytes(path) < layer / 2
    outputs.sum().backward()  # run without hooks: the backward pass alone reads three layers again
    assert resident_bytes(path) > 3 * layer
    assert path.read_bytes() == before


def test_only_large_weights_are_released(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hooks() -> int:
        return sum(len(m._forward_hooks) for m in load(folder, "low").modules())

    every = hooks()
    monkeypatch.setattr(mapped, "RELEASED_FROM_BYTES", 4096)
    assert 0 < hooks() < every


def test_weights_of_another_dtype_are_converted_in_memory(folder: Path) -> None:
    model, processor = load_checkpoint(find_checkpoint(folder))
    half = folder.with_name("half")
    save_packaged(model, processor, half, "", torch.float16)
    clip = inputs()
    with torch.inference_mode():
        held, in_file = (load(half, memory) for memory in ("normal", "low"))
        assert torch.equal(in_file(**clip).mask_logits, held(**clip).mask_logits)
    assert not any(module._forward_hooks for module in in_file.modules())


def test_tensors_of_a_file_are_what_was_saved(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {
        "half": torch.randn(3, 5).half(),
        "index": torch.arange(7),
        "none": torch.empty(0, 4),
        "one": torch.tensor(2.5),
        "single": torch.randn(2, 3, 4),
    }
    save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    read = MappedWeights(tmp_path / "a.safetensors").tensors
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], values) for name, values in tensors.items())
    assert all(read[name].dtype == values.dtype for name, values in tensors.items())


def cut(data: bytes) -> bytes:
    """Cut off the end."""
    return data[:-10]


def lengthen_header(data: bytes) -> bytes:
    """Announce a header that is longer than the file."""
    return (1 << 40).to_bytes(8, "little") + data[8:]


def change_shape(data: bytes) -> bytes:
    """Announce another shape for a tensor."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"] = [10**6]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


@pytest.mark.parametrize("damage", [cut, lengthen_header, change_shape, lambda _: b""])
def test_a_damaged_file_is_rejected(damage: Any, tmp_path: Path) -> None:
    folder = save(CONFIG, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(CheckpointError, match=r"cannot be loaded.*copy it again"):
        load(folder, "low")


def test_weights_of_another_model_are_rejected_by_the_folders_name(tmp_path: Path) -> None:
    folder = save(CONFIG, tmp_path / "model")
    CONFIG.replace(adapters=False).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"model: the weights do not fit .* unexpected"):
        load(folder, "low")
