"""The smallest TAViS: shapes, gradients, memory, names and thresholds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from avseg.backbones.imagebind import (
    ImageBindAudioConfig,
    ImageBindConfig,
    ImageBindTextConfig,
    ImageBindVisionConfig,
)
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.bridge import TextBridge
from tests.models.tavis_factories import build, given, labels


@pytest.fixture(scope="module")
def model() -> TavisModel:
    return build()


@torch.no_grad()
def run(model: TavisModel, values: dict[str, Any]) -> Any:
    return model(**values)


def learned(model: nn.Module) -> set[str]:
    """Return the modules with a gradient other than 0."""
    return {
        name.rpartition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().max() > 0
    }


@pytest.mark.parametrize(("clips", "frames"), [(2, 1), (1, 5), (1, 2)])
def test_the_shapes_of_the_outputs(model: TavisModel, clips: int, frames: int) -> None:
    out = run(model, given(clips, frames))
    assert out.mask_logits.shape == (clips, frames, 16, 16)
    assert out.iou_predictions.shape == (clips, frames)
    assert out.query_logits.shape == (clips, frames, 5, 16, 16)
    assert out.class_probs.shape == (clips, frames, 5, 4)
    assert out.class_logits.shape == (clips, frames, 4, 64, 64)
    assert out.similarities.shape == (clips, frames, 3)
    assert len(out.frame_index) == len(out.named_logits) == len(out.named_scores)


def test_the_published_size_trains_54_85_million_parameters() -> None:
    # ImageBind is frozen: its depth does not count, its widths do.
    shallow = ImageBindConfig(
        vision=ImageBindVisionConfig(blocks=1),
        audio=ImageBindAudioConfig(blocks=1),
        text=ImageBindTextConfig(blocks=1),
    )
    with torch.device("meta"):
        model = TavisModel(TavisConfig(imagebind_config=shallow))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == pytest.approx(54.85e6, abs=0.02e6)


def test_exactly_the_trainable_modules_get_gradients() -> None:
    model = build().train()
    model(**given(1, 2), targets=labels(1, 2)).loss.backward()
    names = learned(model)
    for part in (
        "pseudo_text.to_words",
        "decomposition.queries",
        "decomposition.query_positions",
        "decomposition.gather.0.attention",
        "decomposition.refine.1.norm",
        "adapters.heard",
        "adapters.blocks.0.0",
        "prompts.dense_proj",
        "memory.attention.layers.0.self_attn.q_proj",
        "memory.encoder.projection",
        "sam.sam2.mask_decoder.mask_tokens",
        "sam.sam2",  # the embedding of "no memory"
    ):
        assert part in names
    assert not [name for name in names if name.startswith(("imagebind.", "sam.sam2.vision"))]


def test_the_released_pseudo_text_gives_its_words_no_gradient() -> None:
    model = build(detach_pseudo_text=True).train()
    model(**given(), targets=labels()).loss.backward()
    assert "pseudo_text.to_words" not in learned(model)


def test_clips_of_a_batch_are_independent(model: TavisModel) -> None:
    values = given(2, 2)
    swapped = {k: v if k == "name_ids" else v.flip(0) for k, v in values.items()}
    one, other = run(model, values), run(model, swapped)
    torch.testing.assert_close(one.mask_logits, other.mask_logits.flip(0))
    torch.testing.assert_close(one.class_probs, other.class_probs.flip(0))


@torch.no_grad()
def test_the_released_pairing_mixes_the_clips_of_a_batch() -> None:
    tokens, cls = torch.randn(2, 6, 32), torch.randn(2, 32)
    for pairing, mixes in (("interleave", False), ("tile", True)):
        layer = build(stage2_pairing=pairing).decomposition
        assert layer is not None
        together, alone = layer(tokens, cls)[1][:1], layer(tokens[:1], cls[:1])[1]
        assert ((together - alone).abs().max().item() > 1e-3) == mixes


def test_frozen_towers_stay_in_evaluation() -> None:
    model = build().train()
    assert not any(module.training for module in model.imagebind.modules())
    assert not any(module.training for module in model.sam.image_encoder.modules())
    assert model.memory.attention.training


def test_a_video_in_chunks_has_the_same_masks_as_in_one(model: TavisModel) -> None:
    values = given(1, 6)
    whole = run(model, values)
    memory, pieces = None, []
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        piece = {k: v if k == "name_ids" else v[:, start:stop] for k, v in values.items()}
        out = run(model, piece | {"memory": memory})
        memory = out.memory
        pieces.append(out.mask_logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole.mask_logits, atol=1e-5, rtol=1e-4)


def test_without_memory_at_test_frames_are_independent() -> None:
    model, values = build(memory_at_test=False), given(1, 3)
    whole = run(model, values)
    last = run(model, {k: v if k == "name_ids" else v[:, 2:] for k, v in values.items()})
    torch.testing.assert_close(whole.mask_logits[:, 2:], last.mask_logits, atol=1e-5, rtol=1e-4)
    assert whole.memory is None
    remembering = run(build(), values)
    assert (remembering.mask_logits - whole.mask_logits)[:, 2].abs().max() > 1e-3


def test_frames_that_do_not_count_have_no_loss() -> None:
    model = build().train()
    values, truth = given(1, 2), labels(1, 2)
    counts = torch.tensor([[True, False]])
    torch.manual_seed(0)
    one = model(**values, targets=truth, annotated=counts).loss
    truth[:, 1] = 2
    torch.manual_seed(0)
    other = model(**values, targets=truth, annotated=counts).loss
    torch.testing.assert_close(one, other)


def test_silent_frames_have_the_binary_loss_only(model: TavisModel) -> None:
    silent = torch.zeros(1, 2, 64, 64, dtype=torch.uint8)
    out = run(model, given(1, 2) | {"targets": silent})
    assert torch.isfinite(out.loss)


@pytest.mark.parametrize(
    "changes",
    [
        {"decomposition": False},
        {"pseudo_text": False, "dense_prompt": False},
        {"adapters": False},
        {"readout": "argmax"},
        {"stage1_mode": "last_only"},
        {"imagebind_statistics": "clip"},
        {"sem_fusion": "soft"},
        {"a_scale": 20.0},
        {"blur_kernel": 5},
    ],
)
def test_every_switch_changes_the_outputs(model: TavisModel, changes: dict[str, Any]) -> None:
    changed = build(**changes)
    wanted = changed.state_dict()
    same = {k: v for k, v in model.state_dict().items() if v.shape == wanted.get(k, v).shape}
    changed.load_state_dict({k: v for k, v in same.items() if k in wanted}, strict=False)
    one, other = run(model, given()), run(changed, given())
    differences = [
        (getattr(one, name) - getattr(other, name)).abs().max()
        for name in ("mask_logits", "query_logits", "class_probs", "class_logits")
    ]
    assert max(differences) > 1e-4


def test_only_the_last_layer_has_an_effect_in_the_released_loop() -> None:
    model = build(stage1_mode="last_only").train()
    model(**given(), targets=labels()).loss.backward()
    names = learned(model)
    assert "decomposition.gather.1.norm" in names
    assert "decomposition.gather.0.norm" not in names


def test_no_source_is_outside_the_mask_of_all_sounding_objects(model: TavisModel) -> None:
    out = run(model, given(2, 3))
    assert (out.query_logits <= out.mask_logits.unsqueeze(2)).all()
    everything = out.mask_logits.flatten(0, 1)[out.frame_index]
    assert (out.named_logits <= everything).all()


@pytest.mark.parametrize("frames", [1, 3])
def test_masks_are_the_same_without_names(
    model: TavisModel, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = given(2, frames)
    named = run(model, values)
    monkeypatch.setattr(TextBridge, "compare_images", lambda *_: pytest.fail("named"))
    with torch.no_grad():
        out = model.predict_masks(**values)
    torch.testing.assert_close(out.mask_logits, named.mask_logits)
    torch.testing.assert_close(out.iou_predictions, named.iou_predictions)
    assert out.named_logits is None
    assert out.class_logits is None
    assert named.class_logits is not None


def test_with_targets_there_is_a_loss_also_without_names(model: TavisModel) -> None:
    values = given(1, 2) | {"targets": labels(1, 2)}
    torch.manual_seed(0)
    expected = run(model, values).loss
    torch.manual_seed(0)
    with torch.no_grad():
        loss = model.predict_masks(**values).loss
    torch.testing.assert_close(loss, expected)


def test_audio_that_matches_no_name_gets_an_empty_mask(model: TavisModel) -> None:
    values = given(2, 3)
    free = run(model, values)
    nearest = free.similarities.amax(-1)  # (2, 3)
    bound = float(nearest.median())
    out = run(build(thresholds={"min_similarity": bound}), values)
    kept = nearest >= bound
    assert kept.any()
    assert not kept.all()
    torch.testing.assert_close(out.similarities, free.similarities)
    torch.testing.assert_close(out.mask_logits[kept], free.mask_logits[kept])
    for logits in (out.mask_logits[~kept], out.query_logits[~kept]):
        assert (logits < -100).all()
    frames = set(kept.flatten().nonzero().flatten().tolist())
    assert set(out.frame_index.tolist()) == frames & set(free.frame_index.tolist())


def test_off_screen_sound_gets_an_empty_mask(model: TavisModel) -> None:
    values = given(1, 6)
    free = run(model, values)
    names = model.encode_names(values["name_ids"])
    with torch.no_grad():
        audio, image_cls = model.encode_inputs(
            values["pixel_values"].flatten(0, 1), values["audio_values"].flatten(0, 1)
        )
        cosines = model.bridge.compare_frames(audio.cls, image_cls, names)
    agreement = (cosines[0] + cosines[1]).amax(-1) / 2  # (6,)
    bound = float(agreement.median())
    out = run(build(thresholds={"min_agreement": bound}), values)
    kept = agreement >= bound
    assert 0 < kept.sum() < 6
    torch.testing.assert_close(out.mask_logits[0, kept], free.mask_logits[0, kept])
    assert (out.mask_logits[0, ~kept] < -100).all()


def test_the_loss_uses_masks_that_the_thresholds_empty(model: TavisModel) -> None:
    values, strict = (
        given(1, 2) | {"targets": labels(1, 2)},
        build(thresholds={"min_similarity": 1.0}),
    )
    torch.manual_seed(0)
    expected = run(model, values).loss
    torch.manual_seed(0)
    out = run(strict, values)
    assert (out.mask_logits < -100).all()
    torch.testing.assert_close(out.loss, expected)


def test_training_ignores_the_thresholds() -> None:
    model = build(thresholds={"min_similarity": 1.0, "min_agreement": 1.0}).train()
    out = model(**given(1, 2), targets=labels(1, 2))
    assert (out.mask_logits > -100).all()
    assert (model.eval()(**given(1, 2)).mask_logits < -100).all()


def test_names_are_encoded_once(model: TavisModel) -> None:
    ids = given()["name_ids"]
    assert model.encode_names(ids) is model.encode_names(ids.clone())
    assert model.encode_names(ids[:3]).embeddings.shape == (3, 20)


def test_a_saved_model_gives_the_same_masks(model: TavisModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = TavisModel.from_pretrained(tmp_path)
    one, other = run(model, given(1, 2)), run(loaded, given(1, 2))
    torch.testing.assert_close(one.mask_logits, other.mask_logits)
    torch.testing.assert_close(one.class_probs, other.class_probs)
