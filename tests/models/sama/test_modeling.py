"""The smallest SAMA: masks, trainable parameters, saving."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avseg.backbones.evf_sam import SamConfig
from avseg.models.outputs import mask_loss
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.sama.modeling import TRAINABLE
from tests.models.factories import SAM1, SAM2, SAMA, frames_and_audio, randomise

on_both_sams = pytest.mark.parametrize("sam_config", [SAM1, SAM2], ids=["sam1", "sam2"])


def build(**changes: object) -> SamaModel:
    """Build the smallest model with random values for every parameter."""
    torch.manual_seed(0)
    config = SAMA.replace(**changes)
    assert isinstance(config, SamaConfig)
    model = SamaModel(config).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module")
def model() -> SamaModel:
    return build()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return frames_and_audio(clips=2, frames=3)


def test_the_published_size_trains_what_the_papers_code_trains() -> None:
    # VGGish, their audio tower, has 128 values a second.
    with torch.device("meta"):
        model = SamaModel(SamaConfig(clap_config={"projection_dim": 128}))
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    parts = {
        part: sum(number for name, number in trained.items() if name.startswith(part))
        for part in TRAINABLE
    }
    assert {part: number for part, number in parts.items() if number} == {
        "adapters.": 32 * (128 * 512 + 512) + 512 * 1280 + 1280,
        "sam.sam1.mask_decoder.": 4_058_340,
        "sam.sam1.prompt_encoder.no_mask_embed.": 256,
    }
    assert sum(trained.values()) == 6_828_772


@pytest.mark.parametrize(
    ("sam_config", "side", "has_object_score"), [(SAM1, 64, False), (SAM2, 16, True)]
)
def test_masks_and_scores_for_every_frame(
    sam_config: SamConfig, side: int, has_object_score: bool, batch: dict[str, Tensor]
) -> None:
    outputs = build(sam_config=sam_config)(**batch)
    assert outputs.mask_logits.shape == (2, 3, side, side)
    assert outputs.iou_predictions.shape == (2, 3)
    assert (outputs.object_score_logits is not None) == has_object_score
    assert outputs.loss is None


def test_the_mask_of_a_frame_does_not_depend_on_the_batch(
    model: SamaModel, batch: dict[str, Tensor]
) -> None:
    together = model(**batch).mask_logits[1, 2]
    alone = model(**{name: values[1:, 2:] for name, values in batch.items()}).mask_logits[0, 0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_masks_follow_the_order_of_the_clips(model: SamaModel, batch: dict[str, Tensor]) -> None:
    turned = model(**{name: values.flip(0) for name, values in batch.items()}).mask_logits
    torch.testing.assert_close(turned.flip(0), model(**batch).mask_logits, atol=1e-4, rtol=0)


def test_the_audio_changes_the_masks_only_through_the_adapters(batch: dict[str, Tensor]) -> None:
    model = build()
    other = batch | {"audio_values": batch["audio_values"].flip(0)}
    masks = model(**batch).mask_logits
    assert (model(**other).mask_logits - masks).abs().max() > 1e-6
    for parameter in model.adapters.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(model(**other).mask_logits, model(**batch).mask_logits)


@on_both_sams
def test_exactly_the_trainable_parts_get_a_gradient(
    sam_config: SamConfig, batch: dict[str, Tensor]
) -> None:
    model = build(sam_config=sam_config).train()
    model(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5).loss.backward()
    decoder = f"sam.{'sam1' if sam_config is SAM1 else 'sam2'}.mask_decoder."
    # Without their losses the IoU head and the object score are not trained, and one mask is.
    unused = ("iou_prediction_head.", "pred_obj_score_head.", "output_hypernetworks_mlps.")
    for name, parameter in model.named_parameters():
        trains = name.startswith(TRAINABLE)
        assert parameter.requires_grad == trains, name
        if not trains:
            assert parameter.grad is None, name
        elif not name.startswith(tuple(decoder + part for part in unused)):
            assert parameter.grad is not None, name
            assert parameter.grad.any() or name.endswith("k_proj.bias"), name


def test_with_sam1_the_single_mask_is_trained(batch: dict[str, Tensor]) -> None:
    model = build(sam_config=SAM1).train()
    model(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5).loss.backward()
    learned = {
        name.split(".")[4]
        for name, parameter in model.named_parameters()
        if "output_hypernetworks_mlps" in name and parameter.grad is not None
        if parameter.grad.any()
    }
    assert learned == {"0"}


def test_the_loss_is_that_of_av2t_sam(model: SamaModel, batch: dict[str, Tensor]) -> None:
    targets = torch.rand(2, 3, 64, 64) > 0.5
    outputs = model(**batch, targets=targets)
    expected = mask_loss(outputs.mask_logits.flatten(0, 1), targets.flatten(0, 1)).mean()
    torch.testing.assert_close(outputs.loss, expected)


def test_only_annotated_frames_count_in_the_loss(
    model: SamaModel, batch: dict[str, Tensor]
) -> None:
    targets = torch.rand(2, 3, 64, 64) > 0.5
    first = torch.tensor([[True, False, False]] * 2)
    of_first = {name: values[:, :1] for name, values in batch.items()}
    expected = model(**of_first, targets=targets[:, :1]).loss
    torch.testing.assert_close(model(**batch, targets=targets, annotated=first).loss, expected)


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    model = build().train()
    training = {name for name, module in model.named_modules() if module.training}
    assert {"adapters", "sam.sam2.mask_decoder"} <= training
    assert not any(name.startswith(("sam.sam2.vision_encoder", "clap")) for name in training)


def test_new_adapters_do_not_change_the_encoder(batch: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    model = SamaModel(SAMA).eval()
    other = batch | {"audio_values": torch.zeros_like(batch["audio_values"])}
    assert torch.equal(model(**batch).mask_logits, model(**other).mask_logits)


def test_embeddings_computed_before_give_the_same_masks(
    model: SamaModel, batch: dict[str, Tensor]
) -> None:
    embeddings = model.clap(batch["audio_values"].flatten(0, 1)).view(2, 3, -1)
    cached = {"pixel_values": batch["pixel_values"], "clap_embeddings": embeddings}
    torch.testing.assert_close(model(**cached).mask_logits, model(**batch).mask_logits)


def test_missing_audio_raises_an_error_with_its_name(
    model: SamaModel, batch: dict[str, Tensor]
) -> None:
    with pytest.raises(ValueError, match="audio_values is missing; give it, or clap_embeddings"):
        model(batch["pixel_values"])


def test_suppress_absent_empties_the_masks_of_frames_without_an_object(
    batch: dict[str, Tensor],
) -> None:
    model = build(suppress_absent=True)
    scores = model(**batch).object_score_logits
    model.get_parameter(
        "sam.sam2.mask_decoder.pred_obj_score_head.proj_out.bias"
    ).data -= scores.median()
    outputs = model(**batch)
    absent = outputs.object_score_logits <= 0
    assert 0 < absent.sum() < absent.numel()
    assert (outputs.mask_logits[absent] == -1024).all()
    assert (outputs.mask_logits[~absent] > -1024).all()


def test_checkpointing_activations_gives_the_same_gradients(batch: dict[str, Tensor]) -> None:
    model = build().train()
    targets = torch.rand(2, 3, 64, 64) > 0.5
    gradients = []
    for switch in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        switch()
        model.zero_grad()
        model(**batch, targets=targets).loss.backward()
        gradients.append([p.grad for p in model.adapters.parameters()])
    torch.testing.assert_close(*gradients)


def test_a_saved_model_gives_the_same_outputs_and_trains_the_same(
    tmp_path: Path, model: SamaModel, batch: dict[str, Tensor]
) -> None:
    model.save_pretrained(tmp_path)
    loaded: nn.Module = SamaModel.from_pretrained(tmp_path)
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for ours, theirs in zip(model(**batch).to_tuple(), loaded(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
