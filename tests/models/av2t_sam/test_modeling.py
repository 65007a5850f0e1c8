"""The smallest AV2T-SAM: masks, trainable parameters, saving."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avseg.backbones.evf_sam import SamConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.errors import CheckpointError
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.av2t_sam.modeling import TRAINABLE
from tests.models.factories import CONFIG, SAM1, SAM2, inputs, randomise

FEATURES = ["clip", "clap", "mul"]

on_both_sams = pytest.mark.parametrize("sam_config", [SAM1, SAM2], ids=["sam1", "sam2"])


def build(**changes: object) -> Av2tSamModel:
    """Build the smallest model with random values for every parameter."""
    torch.manual_seed(0)
    config = CONFIG.replace(**changes)
    assert isinstance(config, Av2tSamConfig)
    model = Av2tSamModel(config).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module")
def model() -> Av2tSamModel:
    return build()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return inputs(clips=2, frames=3)


@pytest.mark.parametrize(
    ("sam_config", "decoder", "adapters", "everything"),
    [
        (PromptedSam1Config(), 4_058_340 + 256, 9_061_632, 17_058_276),
        (PromptedSam2Config(), 4_215_109 + 256, 26_126_064, 34_279_477),
    ],
    ids=["sam1", "sam2"],
)
def test_the_published_size_trains_what_the_paper_trains(
    sam_config: SamConfig, decoder: int, adapters: int, everything: int
) -> None:
    with torch.device("meta"):
        model = Av2tSamModel(Av2tSamConfig(sam_config=sam_config))
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}

    def count(prefix: str) -> int:
        return sum(number for name, number in trained.items() if name.startswith(prefix))

    assert count("segmenter.sam.") == decoder
    assert count("segmenter.text_hidden_fcs.") == 1_312_000
    assert count("projector.") == 2_626_048
    assert count("adapters.") == adapters
    assert sum(trained.values()) == everything


def test_masks_and_scores_for_every_frame(model: Av2tSamModel, batch: dict[str, Tensor]) -> None:
    outputs = model(**batch)
    assert outputs.mask_logits.shape == (2, 3, 16, 16)
    assert outputs.iou_predictions.shape == (2, 3)
    assert outputs.object_score_logits.shape == (2, 3)
    assert outputs.loss is None


def test_masks_of_sam1_have_its_image_side_and_no_object_score(batch: dict[str, Tensor]) -> None:
    outputs = build(sam_config=SAM1)(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5)
    assert outputs.mask_logits.shape == (2, 3, 64, 64)
    assert outputs.object_score_logits is None


def test_the_mask_of_a_frame_does_not_depend_on_the_batch(
    model: Av2tSamModel, batch: dict[str, Tensor]
) -> None:
    together = model(**batch).mask_logits[1, 2]
    alone = model(**{name: values[1:, 2:] for name, values in batch.items()}).mask_logits[0, 0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("features", FEATURES)
def test_masks_depend_on_the_inputs_that_the_features_name(
    features: str, batch: dict[str, Tensor]
) -> None:
    model = build(features=features, adapters=False)
    other_sound = batch | {"audio_values": batch["audio_values"].flip(0)}
    other_picture = batch | {"pixel_values_clip": batch["pixel_values_clip"].flip(0)}
    masks = model(**batch).mask_logits

    def moved(changed: dict[str, Tensor]) -> bool:
        return bool((model(**changed).mask_logits - masks).abs().max() > 1e-6)

    assert (moved(other_sound), moved(other_picture)) == (features != "clip", features != "clap")


@on_both_sams
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("adapters", [True, False])
def test_exactly_the_trainable_parts_get_a_gradient(
    sam_config: SamConfig, features: str, adapters: bool, batch: dict[str, Tensor]
) -> None:
    model = build(sam_config=sam_config, features=features, adapters=adapters).train()
    model(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5).loss.backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    decoder = f"segmenter.sam.{'sam1' if sam_config is SAM1 else 'sam2'}.mask_decoder."
    # As in the paper's code, the IoU head and the object score are not trained.
    heads = (decoder + "iou_prediction_head.", decoder + "pred_obj_score_head.")
    for name, parameter in model.named_parameters():
        trains = name.startswith(TRAINABLE)
        assert parameter.requires_grad == trains, name
        # One hypernetwork of four serves the single mask, two more the masks not chosen; a key's
        # bias moves every attention logit alike, and the last norm's tokens reach masks only.
        if trains and not name.startswith((*heads, decoder + "output_hypernetworks_mlps.")):
            assert name not in without or name.endswith("k_proj.bias"), name
        if not trains:
            assert parameter.grad is None, name


def test_iou_head_and_object_score_can_be_trained(batch: dict[str, Tensor]) -> None:
    model = build(iou_head_weight=1.0, presence_weight=1.0).train()
    model(**batch, targets=torch.rand(2, 3, 64, 64) > 0.5).loss.backward()
    decoder = model.segmenter.get_submodule("sam.sam2.mask_decoder")
    for name, parameter in decoder.named_parameters():
        if name.startswith(("iou_prediction_head", "pred_obj_score_head")):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_suppress_absent_empties_the_masks_of_frames_without_an_object(
    batch: dict[str, Tensor],
) -> None:
    plain = build()
    careful = build(suppress_absent=True)
    targets = torch.rand(2, 3, 64, 64) > 0.5
    before = plain(**batch, targets=targets)
    scores = before.object_score_logits
    middle = scores.median()
    for model in (plain, careful):  # so that some frames have nothing to mark and some have
        model.segmenter.get_parameter(
            "sam.sam2.mask_decoder.pred_obj_score_head.proj_out.bias"
        ).data -= middle
    before, after = plain(**batch, targets=targets), careful(**batch, targets=targets)
    absent = after.object_score_logits <= 0
    assert 0 < absent.sum() < absent.numel()
    assert (after.mask_logits[absent] == -1024).all()
    torch.testing.assert_close(after.mask_logits[~absent], before.mask_logits[~absent])
    torch.testing.assert_close(after.loss, before.loss)  # the mask of such a frame still learns


@on_both_sams
def test_frozen_parts_stay_in_evaluation_mode(sam_config: SamConfig) -> None:
    model = build(sam_config=sam_config).train()
    training = {name for name, module in model.named_modules() if module.training}
    sam = f"segmenter.sam.{'sam1' if sam_config is SAM1 else 'sam2'}."
    assert "projector.to_text_space" in training
    assert sam + "mask_decoder" in training
    frozen = ("segmenter.beit3", sam + "vision_encoder", "clip", "clap")
    assert not any(name.startswith(frozen) for name in training)


def test_no_activations_are_kept_for_frozen_modules(
    batch: dict[str, Tensor],
) -> None:
    model = build(adapters=False).train()
    images = batch["pixel_values_sam"].flatten(0, 1)
    assert model.clip is not None
    assert model.clap is not None
    frozen = [
        model.clip(images),
        model.clap(batch["audio_values"].flatten(0, 1)),
        model.segmenter.beit3.embed_images(images),
        *model.segmenter.sam.encode_images(images).levels,
    ]
    assert not any(values.requires_grad for values in frozen)


def test_new_adapters_do_not_change_the_encoder(batch: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    adapted = Av2tSamModel(CONFIG).eval()
    plain = Av2tSamModel(CONFIG.replace(adapters=False)).eval()
    weights = {n: v for n, v in adapted.state_dict().items() if not n.startswith("adapters.")}
    plain.load_state_dict(weights)
    torch.testing.assert_close(adapted(**batch).mask_logits, plain(**batch).mask_logits)


def test_embeddings_computed_before_give_the_same_masks(
    model: Av2tSamModel, batch: dict[str, Tensor]
) -> None:
    assert model.clip is not None
    assert model.clap is not None
    cached = {
        "pixel_values_sam": batch["pixel_values_sam"],
        "pixel_values_beit3": batch["pixel_values_beit3"],
        "clip_embeddings": model.clip(batch["pixel_values_clip"].flatten(0, 1)).view(2, 3, -1),
        "clap_embeddings": model.clap(batch["audio_values"].flatten(0, 1)).view(2, 3, -1),
    }
    torch.testing.assert_close(model(**cached).mask_logits, model(**batch).mask_logits)


def test_image_features_computed_before_give_the_same_masks(batch: dict[str, Tensor]) -> None:
    model = build(adapters=False)
    features = model.segmenter.sam.encode_images(batch["pixel_values_sam"].flatten(0, 1))
    levels = tuple(level.unflatten(0, (2, 3)) for level in features.levels)
    cached = {name: values for name, values in batch.items() if name != "pixel_values_sam"}
    outputs = model(**cached, image_features=levels)
    torch.testing.assert_close(outputs.mask_logits, model(**batch).mask_logits)


def test_image_features_with_adapters_raise_an_error(
    model: Av2tSamModel, batch: dict[str, Tensor]
) -> None:
    with pytest.raises(ValueError, match="cannot be given to a model with adapters"):
        model(**batch, image_features=(torch.zeros(1), torch.zeros(1), torch.zeros(1)))


@pytest.mark.parametrize("name", ["pixel_values_sam", "pixel_values_clip", "audio_values"])
def test_a_missing_input_raises_an_error_with_its_name(
    model: Av2tSamModel, batch: dict[str, Tensor], name: str
) -> None:
    del batch[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        model(**batch)


def test_only_annotated_frames_count_in_the_loss(
    model: Av2tSamModel, batch: dict[str, Tensor]
) -> None:
    targets = torch.rand(2, 3, 64, 64) > 0.5
    first = torch.tensor([[True, False, False]] * 2)
    of_first = {name: values[:, :1] for name, values in batch.items()}
    expected = model(**of_first, targets=targets[:, :1]).loss
    torch.testing.assert_close(model(**batch, targets=targets, annotated=first).loss, expected)


def test_a_batch_without_annotated_frames_has_loss_zero(
    model: Av2tSamModel, batch: dict[str, Tensor]
) -> None:
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert model(**batch, targets=torch.zeros(2, 3, 64, 64), annotated=none).loss == 0


@on_both_sams
def test_checkpointing_activations_gives_the_same_gradients(
    sam_config: SamConfig, batch: dict[str, Tensor]
) -> None:
    model = build(sam_config=sam_config).train()
    targets = torch.rand(2, 3, 64, 64) > 0.5
    gradients = []
    for switch in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        switch()
        model.zero_grad()
        model(**batch, targets=targets).loss.backward()
        assert model.adapters is not None
        gradients.append([p.grad for p in model.adapters.parameters()])
    torch.testing.assert_close(*gradients)


@on_both_sams
def test_bfloat16_gives_nearly_the_same_masks(
    sam_config: SamConfig, batch: dict[str, Tensor]
) -> None:
    model = build(sam_config=sam_config)
    with torch.no_grad():
        exact = model(**batch).mask_logits
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(**batch).mask_logits.float()
    assert (exact - rough).abs().max() < 0.03 * exact.abs().max()
    mask, rough_mask = exact > exact.median(), rough > exact.median()
    assert (mask & rough_mask).sum() / (mask | rough_mask).sum() > 0.95


def test_training_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = Av2tSamModel(CONFIG).train()
    batch, targets = inputs(clips=2, frames=1), torch.zeros(2, 1, 64, 64)
    targets[0, :, 16:48, 8:40] = 1
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model(**batch, targets=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.75 * losses[0]


@on_both_sams
@pytest.mark.parametrize("features", FEATURES)
def test_a_saved_model_gives_the_same_outputs(
    tmp_path: Path, sam_config: SamConfig, features: str, batch: dict[str, Tensor]
) -> None:
    model = build(sam_config=sam_config, features=features)
    model.save_pretrained(tmp_path)
    loaded = Av2tSamModel.from_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for ours, theirs in zip(model(**batch).to_tuple(), loaded(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_loaded_model_has_the_same_frozen_parameters(tmp_path: Path, model: Av2tSamModel) -> None:
    model.save_pretrained(tmp_path)
    loaded: nn.Module = Av2tSamModel.from_pretrained(tmp_path)
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    assert not any(module.training for module in loaded.modules())


def test_weights_that_do_not_fit_raise_an_error(tmp_path: Path, model: Av2tSamModel) -> None:
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights["projector.vision_proj.bias"] = weights.pop("projector.visual_proj.bias")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 missing keys, first projector.visual_proj.bias"):
        Av2tSamModel.from_pretrained(tmp_path)


def test_an_unknown_option_in_a_saved_model_raises_an_error(
    tmp_path: Path, model: Av2tSamModel
) -> None:
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"adapter_dim"', '"adapters_dim"'))
    with pytest.raises(TypeError, match="no option adapters_dim"):
        Av2tSamModel.from_pretrained(tmp_path)
