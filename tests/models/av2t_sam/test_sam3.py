"""The smallest AV2T-SAM on SAM 3: masks, trainable parameters, saving."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avseg.errors import CheckpointError, ClipError
from avseg.models.av2t_sam import Av2tSam3Config, Av2tSam3Model, Av2tSam3Processor
from avseg.models.av2t_sam.modeling import TRAINABLE_SAM3
from avseg.models.picture_inputs import Sam3Inputs
from tests.models.av2t_sam.test_processing import clip
from tests.models.factories import inputs, randomise
from tests.models.open_parts import BRIDGE_SAM3

FEATURES = ["clip", "clap", "mul"]
PROCESSOR = Av2tSam3Processor.from_config(BRIDGE_SAM3)
TARGETS = torch.arange(2 * 3 * 28 * 28).view(2, 3, 28, 28) % 3 == 0


class Constant(nn.Module):
    """A projector's output layers that return given pseudo text for every frame."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, fused: Tensor) -> Tensor:
        """Return the same tokens, flattened, for each row of `fused`."""
        return self.tokens.flatten().expand(len(fused), -1)


def build(**changes: object) -> Av2tSam3Model:
    """Build the smallest model with random values for every parameter."""
    torch.manual_seed(0)
    config = BRIDGE_SAM3.replace(**changes)
    assert isinstance(config, Av2tSam3Config)
    model = Av2tSam3Model(config).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module")
def model() -> Av2tSam3Model:
    return build()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    drawn = inputs(clips=2, frames=3)
    return {
        "pixel_values_sam3": torch.randn(2, 3, 3, 56, 56),
        "pixel_values_clip": drawn["pixel_values_clip"],
        "audio_values": drawn["audio_values"],
    }


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 3])
def test_the_embeddings_of_a_text_as_pseudo_text_give_the_mask_of_the_text(
    length: int, batch: dict[str, Tensor]
) -> None:
    model = build(adapters=False, num_text_tokens=length)
    ids = torch.tensor([[101, 200, 102]])[:, :length]
    sam3 = model.segmenter.sam3
    embeddings = sam3.get_text_features(ids, attention_mask=torch.ones_like(ids)).pooler_output
    model.projector.to_text_space = Constant(embeddings)  # type: ignore[assignment]
    outputs = model(**batch)
    for clip_number, frame in [(0, 0), (1, 2)]:
        expected = sam3(
            pixel_values=batch["pixel_values_sam3"][clip_number, frame, None],
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
        )
        torch.testing.assert_close(
            outputs.mask_logits[clip_number, frame], expected.semantic_seg[0, 0], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            outputs.object_score_logits[clip_number, frame], expected.presence_logits[0, 0]
        )


@pytest.mark.parametrize("features", FEATURES)
def test_masks_depend_on_the_inputs_that_the_features_name(
    features: str, batch: dict[str, Tensor]
) -> None:
    model = build(features=features, adapters=False)
    other_sound = batch | {"audio_values": batch["audio_values"].flip(0)}
    other_picture = batch | {"pixel_values_clip": batch["pixel_values_clip"].flip(0)}
    masks = model(**batch).mask_logits
    assert masks.shape == (2, 3, 16, 16)

    def moved(changed: dict[str, Tensor]) -> bool:
        return bool((model(**changed).mask_logits - masks).abs().max() > 1e-6)

    assert (moved(other_sound), moved(other_picture)) == (features != "clip", features != "clap")


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("adapters", [True, False])
def test_exactly_the_trainable_parts_get_a_gradient(
    features: str, adapters: bool, batch: dict[str, Tensor]
) -> None:
    model = build(features=features, adapters=adapters).train()
    model(**batch, targets=TARGETS).loss.backward()
    for name, parameter in model.named_parameters():
        trains = name.startswith(TRAINABLE_SAM3)
        assert parameter.requires_grad == trains, name
        # The bias of a key moves every attention logit alike.
        if trains and not name.endswith("k_proj.bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        if not trains:
            assert parameter.grad is None, name


def test_frozen_parts_are_bit_equal_after_training_steps(batch: dict[str, Tensor]) -> None:
    model = build(presence_weight=0.2).train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = model(**batch, targets=TARGETS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {n for n, values in model.state_dict().items() if not torch.equal(values, before[n])}
    assert changed
    assert all(name.startswith(TRAINABLE_SAM3) for name in changed)


def test_frozen_parts_stay_in_evaluation_mode(model: Av2tSam3Model) -> None:
    training = {name for name, module in model.train().named_modules() if module.training}
    model.eval()
    assert "segmenter.sam3.mask_decoder" in training
    assert "projector.to_text_space" in training
    sam3 = "segmenter.sam3."
    frozen = ("vision_encoder", "text_encoder", "detr_encoder", "detr_decoder")
    assert not any(name.startswith(tuple(sam3 + part for part in frozen)) for name in training)
    assert not any(name.startswith(("clip", "clap")) for name in training)


def test_the_loss_of_the_presence_trains_the_projector(batch: dict[str, Tensor]) -> None:
    gradients = []
    for weight in (0.0, 1.0):
        model = build(presence_weight=weight).train()
        model(**batch, targets=TARGETS).loss.backward()
        weight_of_first = model.projector.get_parameter("to_text_space.0.weight")
        assert weight_of_first.grad is not None
        gradients.append(weight_of_first.grad)
    assert not torch.allclose(gradients[0], gradients[1])


def test_suppress_absent_empties_the_masks_of_frames_without_the_concept(
    batch: dict[str, Tensor],
) -> None:
    before, careful = build()(**batch), build(suppress_absent=True)
    middle = before.object_score_logits.median()
    head = careful.segmenter.sam3.detr_decoder.presence_head
    head.layer3.bias.data -= middle  # so that the concept is in some frames only
    after = careful(**batch)
    absent = after.object_score_logits <= 0
    assert 0 < absent.sum() < absent.numel()
    assert (after.mask_logits[absent] == -1024).all()
    torch.testing.assert_close(after.mask_logits[~absent], before.mask_logits[~absent])


def test_new_adapters_do_not_change_the_encoder(batch: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    adapted = Av2tSam3Model(BRIDGE_SAM3).eval()
    plain = Av2tSam3Model(BRIDGE_SAM3.replace(adapters=False)).eval()
    weights = {n: v for n, v in adapted.state_dict().items() if not n.startswith("adapters.")}
    plain.load_state_dict(weights)
    torch.testing.assert_close(adapted(**batch).mask_logits, plain(**batch).mask_logits)


def test_features_computed_before_give_the_same_masks(batch: dict[str, Tensor]) -> None:
    model = build(adapters=False)
    assert model.clip is not None
    assert model.clap is not None
    (patches,) = model.encode_frames(batch["pixel_values_sam3"].flatten(0, 1))
    outputs = model(
        image_features=(patches.unflatten(0, (2, 3)),),
        clip_embeddings=model.clip(batch["pixel_values_clip"].flatten(0, 1)).view(2, 3, -1),
        clap_embeddings=model.clap(batch["audio_values"].flatten(0, 1)).view(2, 3, -1),
    )
    torch.testing.assert_close(outputs.mask_logits, model(**batch).mask_logits)


@pytest.mark.parametrize("name", ["pixel_values_sam3", "pixel_values_clip", "audio_values"])
def test_a_missing_input_raises_an_error_with_its_name(
    model: Av2tSam3Model, batch: dict[str, Tensor], name: str
) -> None:
    del batch[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        model(**batch)


def test_recomputing_activations_gives_the_same_gradients(batch: dict[str, Tensor]) -> None:
    model = build().train()
    gradients = []
    for switch in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        switch()
        model.zero_grad()
        model(**batch, targets=TARGETS).loss.backward()
        assert model.adapters is not None
        gradients.append([p.grad for p in model.adapters.parameters()])
    torch.testing.assert_close(*gradients)


def test_a_saved_model_loads_as_the_same(
    tmp_path: Path, model: Av2tSam3Model, batch: dict[str, Tensor]
) -> None:
    model.save_pretrained(tmp_path)
    loaded = Av2tSam3Model.from_pretrained(tmp_path)
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    trained = {name for name, p in loaded.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
    for ours, theirs in zip(model(**batch).to_tuple(), loaded(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_renamed_weight_is_an_error(tmp_path: Path, model: Av2tSam3Model) -> None:
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights["segmenter.sam3.text_project.bias"] = weights.pop("segmenter.sam3.text_projection.bias")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 missing keys, first segmenter.sam3.text_projec"):
        Av2tSam3Model.from_pretrained(tmp_path)


def test_the_defaults_are_the_published_sizes() -> None:
    config = Av2tSam3Config()
    assert (config.sam3_config.image_size, config.text_dim) == (1008, 256)
    assert (config.clip_config.projection_dim, config.clap_config.projection_dim) == (512, 1024)


def test_a_clip_becomes_the_models_inputs() -> None:
    converted = PROCESSOR(clip())
    assert {name: tuple(values.shape) for name, values in converted.items()} == {
        "pixel_values_sam3": (1, 2, 3, 56, 56),
        "pixel_values_clip": (1, 2, 3, 64, 64),
        "audio_values": (1, 2, 2000),
    }
    with pytest.raises(ClipError, match="the model needs 8000 Hz"):
        PROCESSOR(clip(sample_rate=16000))


def test_images_for_sam3_are_those_of_its_own_inputs() -> None:
    frames = clip().frames
    own = Sam3Inputs(56, 16).prepare_frames(frames)["pixel_values_sam3"]
    np.testing.assert_array_equal(PROCESSOR.prepare_frames(frames)["pixel_values_sam3"], own)


def test_a_saved_processor_loads_as_the_same(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    assert Av2tSam3Processor.from_pretrained(tmp_path) == PROCESSOR
