"""EVF-SAM: one mask for each text, each image encoded once."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from avseg.errors import CheckpointError
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel
from tests.models.factories import BEIT3, EVF_CONFIG, SAM1, randomise

CONFIGS = {
    "sam1": EvfSamConfig(sam_config=SAM1, beit3_config=BEIT3, max_text_tokens=3, multimask=False),
    "sam2": EVF_CONFIG,
}


def make(config: EvfSamConfig) -> EvfSamModel:
    torch.manual_seed(0)
    model = EvfSamModel(config).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module", params=CONFIGS)
def model(request: pytest.FixtureRequest) -> EvfSamModel:
    return make(CONFIGS[request.param])


def inputs() -> dict[str, Tensor]:
    """Two images: the first with a text of two tokens and one of one, the second with one."""
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return {
        "pixel_values_sam": images,
        "pixel_values_beit3": images,
        "input_ids": torch.tensor([[3, 4], [5, 0], [5, 0]]),
        "attention_mask": torch.tensor([[1, 1], [1, 0], [1, 0]]),
        "image_index": torch.tensor([0, 0, 1]),
    }


@torch.no_grad()
def test_every_prompt_gets_a_mask(model: EvfSamModel) -> None:
    outputs = model(**inputs())
    side = 64 if model.config.sam_config is SAM1 else 16
    assert outputs.mask_logits.shape == (3, side, side)
    assert outputs.iou_predictions.shape == (3,)
    scores = outputs.object_score_logits
    assert scores is None if model.config.sam_config is SAM1 else scores.shape == (3,)


@torch.no_grad()
def test_the_mask_of_a_text_does_not_depend_on_other_texts(model: EvfSamModel) -> None:
    together = model(**inputs()).mask_logits[1]
    few = inputs()
    alone = model(
        few["pixel_values_sam"][:1],
        few["pixel_values_beit3"][:1],
        input_ids=torch.tensor([[5]]),
        attention_mask=torch.tensor([[1]]),
        image_index=torch.tensor([0]),
    ).mask_logits[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_image_is_encoded_once_for_all_its_texts(
    model: EvfSamModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = model.segmenter.sam.encode_images

    def watched(pixel_values: Tensor) -> object:
        encoded.append(len(pixel_values))
        return encode(pixel_values)

    monkeypatch.setattr(model.segmenter.sam, "encode_images", watched)
    model(**inputs())
    assert encoded == [2]


@torch.no_grad()
def test_the_mask_depends_on_the_text(model: EvfSamModel) -> None:
    masks = model(**inputs()).mask_logits
    assert (masks[0] - masks[1]).abs().max() > 1e-3


@torch.no_grad()
def test_suppress_absent_empties_the_mask_of_an_absent_object() -> None:
    config = EVF_CONFIG.replace(suppress_absent=True)
    outputs = make(config)(**inputs())
    plain = make(EVF_CONFIG)(**inputs())
    absent = plain.object_score_logits <= 0
    assert ((outputs.mask_logits == -1024).flatten(1).all(1) == absent).all()
    torch.testing.assert_close(outputs.mask_logits[~absent], plain.mask_logits[~absent])


@torch.no_grad()
def test_a_saved_model_gives_the_same_masks(model: EvfSamModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = EvfSamModel.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**inputs()).mask_logits, model(**inputs()).mask_logits)


def test_weights_that_do_not_fit_raise_an_error(tmp_path: Path) -> None:
    make(EVF_CONFIG).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["segmenter.text_hidden_fcs.0.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"EvfSamModel: 1 missing keys, first segmenter.text"):
        EvfSamModel.from_pretrained(tmp_path)
