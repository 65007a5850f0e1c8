"""The audio is named, and the named object is segmented."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.clip import ClipTextTowerConfig
from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.models.cascade import CascadeModel
from tests.models.factories import CASCADE, SAM1, inputs, randomise

NAMES = {
    "sound_ids": torch.tensor([[2, 5], [3, 5], [4, 5]]),
    "prompt_ids": torch.tensor([[2], [3], [4]]),
    "prompt_mask": torch.ones(3, 1, dtype=torch.bool),
}


def build(**changes: object) -> Any:  # its parts are those of the configuration
    torch.manual_seed(0)
    model = CascadeModel(CASCADE.replace(**changes))
    randomise(model)
    return model.eval()


def given(clips: int = 1, frames: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(1)
    made = inputs(clips, frames)
    del made["pixel_values_clip"]
    return made | NAMES


@torch.no_grad()
def run(model: CascadeModel, values: dict[str, Tensor]) -> Any:  # its fields may all be None
    return model(**values)


def ruled(model: Any, **rule: float) -> Any:
    for option, value in rule.items():
        setattr(model.config, option, value)
    return model


def test_names_are_selected_by_cosine_highest_first() -> None:
    model = build()
    similarities = torch.tensor([[0.1, 0.5, 0.3], [0.05, 0.0, -0.2], [0.9, 0.0, 0.95]])
    frames, names = ruled(model, min_score=0.08).select_prompts(similarities)
    assert frames.tolist() == [0, 0, 2, 2]
    assert names.tolist() == [1, 2, 2, 0]


def test_names_compete_in_the_softmax() -> None:
    model = build()
    with torch.no_grad():
        model.namer.log_scale.fill_(2.0)
    similarities = torch.tensor([[0.0, 1.0, 0.9]])  # shares 0.00, 0.68, 0.32
    chosen = {
        share: ruled(model, min_share=share).select_prompts(similarities)[1].tolist()
        for share in (0.2, 0.5, 0.8)
    }
    assert chosen == {0.2: [1, 2], 0.5: [1], 0.8: []}


def test_a_frame_gets_the_largest_logit_of_its_names() -> None:
    output = run(build(), given(clips=2, frames=3))
    assert output.frame_index.tolist() == [k // 2 for k in range(12)]
    assert output.mask_logits.shape == (2, 3, 16, 16)
    logits = output.named_logits.view(6, 2, 16, 16).amax(1)
    torch.testing.assert_close(output.mask_logits.flatten(0, 1), logits)
    best = output.named_scores.view(6, 2).amax(1)
    torch.testing.assert_close(output.iou_predictions.flatten(), best)


def test_the_mask_of_a_prompt_equals_evf_sams() -> None:
    model, values = build(), given()
    output = run(model, values)
    evf_sam = model.segmenter
    for k in range(len(output.frame_index)):
        frame, name = output.frame_index[k], output.name_index[k : k + 1]
        with torch.no_grad():
            prediction = evf_sam(
                evf_sam.sam.encode_images(values["pixel_values_sam"][0, frame : frame + 1]),
                evf_sam.beit3.embed_images(values["pixel_values_beit3"][0, frame : frame + 1]),
                evf_sam.beit3.embed_text(NAMES["prompt_ids"][name]),
            )
        torch.testing.assert_close(
            output.named_logits[k], prediction.best()[0][0], atol=1e-4, rtol=1e-4
        )


def test_only_frames_with_a_name_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    model, values = build(), given(frames=4)
    first = run(model, values).similarities[0].amax(-1)  # (T,)
    middle = first.sort().values[1:3].mean()
    looked_at: list[int] = []
    encode = model.segmenter.sam.encode_images

    def watched(pixel_values: Tensor) -> object:
        looked_at.append(len(pixel_values))
        return encode(pixel_values)

    monkeypatch.setattr(model.segmenter.sam, "encode_images", watched)
    output = run(ruled(model, min_score=float(middle)), values)
    assert looked_at == [2]
    has_mask = (output.mask_logits[0] > NO_OBJECT_LOGIT).flatten(1).any(1)
    assert has_mask.tolist() == (first > middle).tolist()
    assert (output.iou_predictions[0] > 0).tolist() == (first > middle).tolist()


def test_without_a_fitting_name_masks_are_empty_and_no_frame_is_encoded() -> None:
    model = build()
    model.segmenter.sam.encode_images = None
    output = run(ruled(model, min_score=0.9999), given())
    assert output.mask_logits.max() == NO_OBJECT_LOGIT
    assert output.iou_predictions.tolist() == [[0.0, 0.0]]
    assert len(output.named_logits) == 0


@pytest.mark.parametrize("logit", [-3.0, 3.0])
def test_suppress_absent_empties_the_mask_of_an_absent_object(
    logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(segmenter_config={"suppress_absent": True})
    decode = model.segmenter.sam.decode_masks

    def judged(*arguments: Any) -> Any:
        prediction: Any = decode(*arguments)
        prediction.object_score_logits.fill_(logit)
        return prediction

    monkeypatch.setattr(model.segmenter.sam, "decode_masks", judged)
    output = run(model, given())
    assert bool((output.named_logits == NO_OBJECT_LOGIT).all()) == (logit < 0)


def test_it_runs_on_sam_1_and_with_the_text_tower_of_small_claps() -> None:
    text = ClipTextTowerConfig(
        vocab_size=6,
        max_positions=2,
        eos_token_id=5,
        dim=16,
        num_layers=1,
        num_heads=2,
        ffn_dim=32,
        projection_dim=20,
    )
    output = run(
        build(segmenter_config={"sam_config": SAM1}, namer_config={"text_config": text}), given()
    )
    assert output.mask_logits.shape == (1, 2, 64, 64)


def counted(model: Any) -> list[int]:
    """Record the number of names that are embedded at each call."""
    asked: list[int] = []
    model.namer.clap_text.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    return asked


def test_names_are_embedded_once_for_all_chunks_of_a_video() -> None:
    model = build()
    asked = counted(model)
    first, second = run(model, given()), run(model, given())
    assert asked == [3]
    assert torch.equal(first.similarities, second.similarities)


def test_other_names_or_weights_are_embedded_anew() -> None:
    model = build()
    asked = counted(model)
    before = run(model, given()).similarities
    run(model, given() | {name: values[:2] for name, values in NAMES.items()})
    assert asked == [3, 2]
    run(model, given())
    with torch.no_grad():
        next(model.namer.clap_text.parameters()).mul_(2)
    after = run(model, given()).similarities
    assert asked == [3, 2, 3, 3]
    assert not torch.equal(before, after)


def test_names_get_gradients_in_training() -> None:
    model = build()
    run(model, given())
    audio = {"audio_values": given()["audio_values"][0]}
    model.score_audio(audio, {"sound_ids": NAMES["sound_ids"]}).sum().backward()
    assert next(model.namer.clap_text.parameters()).grad is not None


def test_masks_do_not_have_the_padding_of_the_square() -> None:
    whole = run(build(), given())
    part = run(build(), given() | {"frame_size": torch.tensor([[[64, 40]] * 2])})
    assert part.mask_logits.shape == (1, 2, 64, 40)
    expected = F.interpolate(whole.named_logits[:, None], (64, 64), mode="bilinear")[:, 0, :, :40]
    torch.testing.assert_close(part.named_logits, expected)


def test_a_saved_model_loads_as_the_same(tmp_path: Path) -> None:
    model = build()
    model.save_pretrained(tmp_path)
    loaded = CascadeModel.from_pretrained(tmp_path)
    torch.testing.assert_close(run(loaded, given()).mask_logits, run(model, given()).mask_logits)
