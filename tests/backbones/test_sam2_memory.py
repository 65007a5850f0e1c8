"""SAM 2's memory: fixed size, independent prompts, effect of every frame."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avseg.backbones.sam import MaskPrediction
from avseg.backbones.sam2_memory import FrameMemory, MemoryBank, Sam2MemoryConfig
from tests.models.factories import randomise
from tests.models.tavis_factories import MEMORY, SAM

M = 4


@pytest.fixture(scope="module")
def memory() -> FrameMemory:
    torch.manual_seed(0)
    model = FrameMemory(MEMORY, SAM)
    randomise(model)
    model.train(mode=False)
    return model


def predicted(object_scores: Tensor) -> MaskPrediction:
    return MaskPrediction(
        torch.randn(M, 3, 16, 16),
        torch.rand(M, 3),
        object_scores,
        mask_tokens=torch.randn(M, 3, 64),
    )


def remember_frames(memory: FrameMemory, frames: int) -> MemoryBank:
    torch.manual_seed(1)
    bank: MemoryBank | None = None
    for _ in range(frames):
        bank = memory.append_frame(bank, torch.randn(M, 64, 4, 4), predicted(torch.zeros(M, 1)))
    assert bank is not None
    return bank


HERE = torch.randn(M, 64, 4, 4, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def conditioned(memory: FrameMemory, bank: MemoryBank, here: Tensor = HERE) -> Tensor:
    return memory.condition(here, bank)


def test_the_memory_does_not_grow(memory: FrameMemory) -> None:
    short, long = remember_frames(memory, 3), remember_frames(memory, 9)
    assert len(short.maps) == len(long.maps) == MEMORY.frames - 1
    assert len(short.pointers) == len(long.pointers) == MEMORY.pointers - 1


def test_the_first_frame_stays_in_the_bank(memory: FrameMemory) -> None:
    short, long = remember_frames(memory, 1), remember_frames(memory, 9)
    torch.testing.assert_close(short.first_map, long.first_map)
    torch.testing.assert_close(short.first_pointer, long.first_pointer)


def test_conditioned_features_depend_on_every_frame_in_the_bank(memory: FrameMemory) -> None:
    bank = remember_frames(memory, 3)
    here = conditioned(memory, bank)
    for number in range(2):
        maps = list(bank.maps)
        maps[number] = maps[number] + 1
        other = MemoryBank(bank.first_map, bank.first_pointer, tuple(maps), bank.pointers)
        assert (conditioned(memory, other) - here).abs().max() > 1e-4
    other = MemoryBank(bank.first_map + 1, bank.first_pointer, bank.maps, bank.pointers)
    assert (conditioned(memory, other) - here).abs().max() > 1e-4


def test_the_memories_of_prompts_are_independent(memory: FrameMemory) -> None:
    bank = remember_frames(memory, 2)
    order = torch.tensor([2, 0, 3, 1])
    swapped = MemoryBank(
        bank.first_map[order],
        bank.first_pointer[order],
        tuple(each[order] for each in bank.maps),
        tuple(each[order] for each in bank.pointers),
    )
    expected = conditioned(memory, bank)[order]
    torch.testing.assert_close(conditioned(memory, swapped, HERE[order]), expected)


def test_below_the_cut_the_pointer_is_that_of_no_object(memory: FrameMemory) -> None:
    scores = torch.tensor([[-2.1], [-1.9], [0.0], [-3.0]])
    bank = memory.append_frame(None, torch.zeros(M, 64, 4, 4), predicted(scores))
    is_none = [torch.equal(row, memory.no_object_pointer[0]) for row in bank.first_pointer]
    assert is_none == [True, False, False, True]


def test_binary_masks_store_the_sign_of_the_logits_only(memory: FrameMemory) -> None:
    binary = FrameMemory(MEMORY.replace(binary_masks=True), SAM)
    binary.load_state_dict(memory.state_dict())
    binary.train(mode=False)
    prediction = predicted(torch.zeros(M, 1))
    weaker = replace(prediction, mask_logits=prediction.mask_logits / 100)
    maps = [
        model.encode_frame(HERE, given)[0]
        for model in (binary, memory)
        for given in (prediction, weaker)
    ]
    torch.testing.assert_close(maps[0], maps[1])
    assert (maps[2] - maps[3]).abs().max() > 1e-4


@torch.no_grad()
def test_a_memory_without_pointers_can_be_attended_to(memory: FrameMemory) -> None:
    bank = remember_frames(memory, 1)
    conditioned = memory.attend(HERE, [bank.first_map], [2], [])
    with_pointer = memory.attend(HERE, [bank.first_map], [2], [bank.first_pointer])
    assert conditioned.shape == HERE.shape
    assert (conditioned - with_pointer).abs().max() > 1e-4
    assert (conditioned - memory.attend(HERE, [bank.first_map], [0], [])).abs().max() > 1e-4


def test_the_published_size_has_as_many_weights_as_sam_2() -> None:
    from avseg.backbones.sam2 import PromptedSam2Config

    with torch.device("meta"):
        model = FrameMemory(Sam2MemoryConfig(), PromptedSam2Config(image_size=224))
    assert sum(p.numel() for p in model.attention.parameters()) == pytest.approx(5.92e6, rel=1e-3)
    assert sum(p.numel() for p in model.encoder.parameters()) == pytest.approx(1.38e6, rel=4e-3)


def test_a_memory_of_one_frame_is_rejected() -> None:
    with pytest.raises(Exception, match="frames must be at least 2"):
        Sam2MemoryConfig(frames=1)
