"""The smallest AuralSAM2: masks, windows, memory, order of training, gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avseg.models.auralsam2 import AuralSam2Model
from tests.models.auralsam2_factories import build, given, masks


@pytest.fixture(scope="module")
def model() -> AuralSam2Model:
    return build()


@torch.no_grad()
def test_masks_and_scores_for_every_frame(model: AuralSam2Model) -> None:
    outputs = model(**given(clips=2, frames=4))
    assert outputs.mask_logits.shape == (2, 4, 16, 16)
    assert outputs.iou_predictions.shape == outputs.object_score_logits.shape == (2, 4)
    assert outputs.loss is None


@torch.no_grad()
def test_a_clip_of_one_frame_is_segmented(model: AuralSam2Model) -> None:
    assert model(**given(frames=1)).mask_logits.shape == (1, 1, 16, 16)


def test_training_on_a_clip_of_one_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least two frames, got 1 frames in 1 windows"):
        build().train()(**given(frames=1))


@torch.no_grad()
def test_mono_audio_is_used_for_both_channels(model: AuralSam2Model) -> None:
    mono = given()
    stereo = mono | {"audio_values": mono["audio_values"].expand(-1, -1, 2, -1, -1)}
    torch.testing.assert_close(model(**mono).mask_logits, model(**stereo).mask_logits)


@torch.no_grad()
def test_left_and_right_are_different_inputs(model: AuralSam2Model) -> None:
    stereo = given(channels=2)
    swapped = stereo | {"audio_values": stereo["audio_values"].flip(2)}
    difference = model(**stereo).mask_logits - model(**swapped).mask_logits
    assert difference.abs().max() > 1e-5


@torch.no_grad()
def test_the_masks_of_a_clip_do_not_depend_on_the_batch(model: AuralSam2Model) -> None:
    batch = given(clips=2, frames=3)
    together = model(**batch).mask_logits[1]
    alone = model(**{name: values[1:] for name, values in batch.items()}).mask_logits[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_a_long_clip_is_fused_in_windows_of_nearly_equal_length(model: AuralSam2Model) -> None:
    lengths: list[int] = []
    hook = model.fuser.register_forward_hook(lambda _, inputs, __: lengths.append(len(inputs[1])))
    for frames in (1, 3, 4, 7, 8):
        with torch.no_grad():
            model(**given(frames=frames))
    hook.remove()
    assert lengths == [1, 3, 2, 2, 3, 2, 2, 3, 3, 2]


@torch.no_grad()
def test_the_memory_bank_continues_a_video(model: AuralSam2Model) -> None:
    clip = given(frames=6)  # two windows of three frames
    whole = model(**clip)
    first = model(**{name: values[:, :3] for name, values in clip.items()})
    rest = {name: values[:, 3:] for name, values in clip.items()}
    torch.testing.assert_close(
        model(**rest, memory=first.memory).mask_logits, whole.mask_logits[:, 3:]
    )
    assert (model(**rest).mask_logits - whole.mask_logits[:, 3:]).abs().max() > 1e-5


def decoded_frames(model: AuralSam2Model, clip: dict[str, Tensor]) -> list[int]:
    """Return the numbers of the frames in the order of decoding, by their first feature."""
    order: list[Tensor] = []
    encode = model.memory.encode_frame

    def encode_and_keep(embeddings: Tensor, prediction: Any) -> Any:
        order.append(embeddings[0, 0, 0, 0])
        return encode(embeddings, prediction)

    vars(model.memory)["encode_frame"] = encode_and_keep
    with torch.no_grad():
        model(**clip)
        features = model.sam.encode_frames(clip["pixel_values"][0]).embeddings[:, 0, 0, 0]
    del vars(model.memory)["encode_frame"]
    return [int((features - value).abs().argmin()) for value in order]


def test_training_decodes_the_middle_frame_first() -> None:
    model = build(dropout=0.0)
    assert decoded_frames(model, given(frames=5)) == [0, 1, 2, 3, 4]
    assert decoded_frames(model.train(), given(frames=5)) == [2, 0, 1, 3, 4]


def test_a_frame_attends_to_the_middle_frame_and_to_those_before_it() -> None:
    model = build(window_frames=6, dropout=0.0, memory_config={"frames": 4, "pointers": 3}).train()
    attended: list[tuple[list[int], int]] = []
    attend = model.memory.attend

    def attend_and_keep(embeddings: Tensor, maps: Any, rows: Any, pointers: Any) -> Tensor:
        attended.append((list(rows), len(pointers)))
        return attend(embeddings, maps, rows, pointers)

    vars(model.memory)["attend"] = attend_and_keep
    with torch.no_grad():
        model(**given(frames=6))
    # The middle frame, number 3, has the last time embedding, row 3. Row r is r + 1 frames before.
    assert attended == [
        ([3], 0),  # frame 0
        ([3, 0], 1),  # frame 1
        ([3, 1, 0], 2),  # frame 2
        ([3, 2, 1], 2),  # frame 4: the frames 1 and 2, and the pointers of 3 and 2
        ([3, 2, 0], 2),  # frame 5: the frames 2 and 4, and the pointers of 3 and 4
    ]


def test_only_the_fuser_is_trained_and_all_of_it_gets_a_gradient() -> None:
    model = build().train()
    model(**given(frames=4), targets=masks(frames=4)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == name.startswith("fuser."), name
        assert (parameter.grad is not None) == name.startswith("fuser."), name
    assert not any(part.training for part in (model.sam, model.memory))


def test_vggish_can_be_trained_too() -> None:
    model = build(train_vggish=True).train()
    model(**given(frames=4), targets=masks(frames=4)).loss.backward()
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"fuser", "vggish"}


def test_the_loss_is_a_sum_over_frames_and_a_mean_over_clips() -> None:
    model = build(losses={"contrast_weight": 0.0})
    clip, truth = given(frames=2), masks(frames=2)
    both = model(**clip, targets=truth).loss
    parts = [
        model(**clip, targets=truth, annotated=torch.tensor([chosen])).loss
        for chosen in ([True, False], [False, True])
    ]
    torch.testing.assert_close(both, parts[0] + parts[1])
    twice = {name: torch.cat([values, values]) for name, values in clip.items()}
    torch.testing.assert_close(model(**twice, targets=torch.cat([truth, truth])).loss, both)


def test_a_clip_without_ground_truth_has_the_loss_zero() -> None:
    model = build()
    loss = model(**given(), targets=masks(), annotated=torch.zeros(1, 2, dtype=torch.bool)).loss
    assert loss.item() == 0


@torch.no_grad()
def test_a_saved_model_computes_the_same_masks(model: AuralSam2Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = AuralSam2Model.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**given()).mask_logits, model(**given()).mask_logits)


@torch.no_grad()
def test_an_absent_object_can_be_suppressed() -> None:
    suppressing = build(suppress_absent=True)
    outputs = suppressing(**given(clips=4, frames=3))
    absent = outputs.object_score_logits <= 0
    assert absent.any()
    assert (outputs.mask_logits[absent] < -100).all()
    assert (outputs.mask_logits[~absent] > -100).all()
