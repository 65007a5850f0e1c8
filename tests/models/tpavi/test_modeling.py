"""The smallest TPAVI: masks, trainable parameters, saving."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avseg.models.outputs import bce_loss
from avseg.models.tpavi import TpaviConfig, TpaviModel
from avseg.models.tpavi.modeling import expected_iou, matching_loss
from tests.models.factories import TPAVI, frames_and_audio, randomise


def build(**changes: object) -> TpaviModel:
    """Build the smallest model with random values for every parameter."""
    torch.manual_seed(0)
    config = TPAVI.replace(**changes)
    assert isinstance(config, TpaviConfig)
    model = TpaviModel(config).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module")
def model() -> TpaviModel:
    return build()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return frames_and_audio(clips=2, frames=3)


def test_masks_have_the_size_of_the_frames(model: TpaviModel, batch: dict[str, Tensor]) -> None:
    outputs = model(**batch)
    assert outputs.mask_logits.shape == (2, 3, 64, 64)
    assert outputs.iou_predictions.shape == (2, 3)
    assert outputs.loss is None


def test_the_masks_of_a_clip_do_not_depend_on_the_batch(
    model: TpaviModel, batch: dict[str, Tensor]
) -> None:
    together = model(**batch).mask_logits[1]
    alone = model(**{name: values[1:] for name, values in batch.items()}).mask_logits[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_masks_follow_the_order_of_the_clips(model: TpaviModel, batch: dict[str, Tensor]) -> None:
    turned = model(**{name: values.flip(0) for name, values in batch.items()}).mask_logits
    torch.testing.assert_close(turned.flip(0), model(**batch).mask_logits, atol=1e-4, rtol=0)


def test_a_clip_may_have_any_number_of_frames(model: TpaviModel) -> None:
    for frames in (1, 7):
        assert model(**frames_and_audio(1, frames)).mask_logits.shape == (1, frames, 64, 64)


@pytest.mark.parametrize("name", ["pixel_values", "audio_values"])
def test_a_mask_depends_on_the_other_frames_and_their_audio(
    model: TpaviModel, batch: dict[str, Tensor], name: str
) -> None:
    other = batch[name].clone()
    other[:, 1] = batch[name][:, 1].flip(0)
    masks = model(**batch | {name: other}).mask_logits
    assert (masks - model(**batch).mask_logits)[:, 0].abs().max() > 1e-6


def test_everything_is_trained_except_the_audio_tower(batch: dict[str, Tensor]) -> None:
    model = build().train()
    model(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5).loss.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("clap."):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.requires_grad, name
            assert parameter.grad is not None, name
    assert not any(module.training for module in model.clap.modules())
    assert model.encoder.training


def test_the_loss_is_cross_entropy_plus_the_matching_loss(
    batch: dict[str, Tensor],
) -> None:
    targets = torch.rand(2, 3, 64, 64) > 0.5
    plain = build(matching_weight=0.0)(**batch, targets=targets)
    expected = bce_loss(plain.mask_logits.flatten(0, 1), targets.flatten(0, 1)).mean()
    torch.testing.assert_close(plain.loss, expected)
    once, twice = (build(matching_weight=w)(**batch, targets=targets).loss for w in (1.0, 2.0))
    torch.testing.assert_close(twice - once, once - plain.loss)
    assert once > plain.loss


def test_equal_image_and_audio_features_have_matching_loss_zero() -> None:
    maps = torch.zeros(1, 4, 2, 2)
    maps[0, :, 0, 0] = torch.tensor([1.0, 2.0, 0.0, 2.0])
    maps[0, :, 1, 1] = torch.tensor([-9.0, 5.0, 5.0, 5.0])
    logits = torch.full((1, 4, 4), -100.0)
    logits[0, :2, :2] = 100.0
    sound = torch.tensor([[2.0, 4.0, 0.0, 4.0]])
    assert matching_loss(logits, [maps], [sound]).item() == pytest.approx(0, abs=1e-6)
    assert matching_loss(-logits, [maps], [sound]).item() > 0.01


def test_only_annotated_frames_count_in_the_loss(
    model: TpaviModel, batch: dict[str, Tensor]
) -> None:
    targets = torch.rand(2, 3, 64, 64) > 0.5
    first = torch.tensor([[True, False, False]] * 2)
    other = torch.cat([targets[:, :1], ~targets[:, 1:]], dim=1)
    losses = [model(**batch, targets=t, annotated=first).loss for t in (targets, other)]
    torch.testing.assert_close(*losses)


def test_the_expected_iou_is_computed_from_the_probabilities() -> None:
    logits = torch.tensor([[[math.log(4), -50.0], [math.log(1 / 4), -50.0]], [[-50.0] * 2] * 2])
    # One pixel is in the mask, correct with probability 0.8; outside of it 0.2 is missed.
    assert expected_iou(logits).tolist() == pytest.approx([0.8 / 1.2, 0])


def test_embeddings_computed_before_give_the_same_masks(
    model: TpaviModel, batch: dict[str, Tensor]
) -> None:
    embeddings = model.clap(batch["audio_values"].flatten(0, 1)).view(2, 3, -1)
    cached = {"pixel_values": batch["pixel_values"], "clap_embeddings": embeddings}
    torch.testing.assert_close(model(**cached).mask_logits, model(**batch).mask_logits)


def test_training_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = TpaviModel(TPAVI).train()
    batch, targets = frames_and_audio(clips=2, frames=2), torch.zeros(2, 2, 64, 64)
    targets[0, :, 16:48, 8:40] = 1
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(15):
        loss = model(**batch, targets=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.75 * losses[0]


def test_a_saved_model_gives_the_same_outputs_and_trains_the_same(
    tmp_path: Path, model: TpaviModel, batch: dict[str, Tensor]
) -> None:
    model.save_pretrained(tmp_path)
    loaded: nn.Module = TpaviModel.from_pretrained(tmp_path)
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for ours, theirs in zip(model(**batch).to_tuple(), loaded(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
