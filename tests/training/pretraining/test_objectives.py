"""Pre-training objectives at their smallest: what lowers the loss, and what is not trained."""

from functools import cache

import torch
from torch import Tensor, nn

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clip import ClipTextTower, ClipTextTowerConfig
from avseg.training.pretraining.objectives import (
    ContrastivePretraining,
    TextPromptedPretraining,
    class_loss,
)
from tests.models.factories import BEIT3, SAM2, randomise

CLASSES = 3

#: Parameters under these names serve prompts that training never gives (points and masks), the
#: mask for an unambiguous prompt, and what the text becomes in the last layer, which nothing reads.
UNUSED = (
    "segmenter.sam.sam2.prompt_encoder.mask_embed",
    "segmenter.sam.sam2.prompt_encoder.not_a_point_embed",
    "segmenter.sam.sam2.prompt_encoder.point_embed",
    "segmenter.sam.sam2.mask_decoder.output_hypernetworks_mlps.0.",
    "segmenter.beit3.encoder.layers.1.self_attn.q_proj.B.",
    "segmenter.beit3.encoder.layers.1.self_attn.out_proj.B.",
    "segmenter.beit3.encoder.layers.1.self_attn.inner_attn_ln.B.",
    "segmenter.beit3.encoder.layers.1.ffn.B.",
    "segmenter.beit3.encoder.layers.1.final_layer_norm.B.",
    "segmenter.beit3.encoder.layer_norm.B.",
)


class PickColumns(nn.Module):
    """A tower that embeds an item as a linear map of it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed, (N, 6) to (N, 8)."""
        embedded: Tensor = self.linear(inputs)
        return embedded


def contrast() -> ContrastivePretraining:
    """Three captions of one word and the end."""
    torch.manual_seed(0)
    text_tower = ClipTextTower(
        ClipTextTowerConfig(
            vocab_size=6,
            max_positions=2,
            eos_token_id=5,
            dim=16,
            num_layers=1,
            num_heads=2,
            ffn_dim=16,
            projection_dim=8,
        )
    )
    return ContrastivePretraining(PickColumns(), text_tower, torch.tensor([[1, 5], [2, 5], [3, 5]]))


def pairs() -> dict[str, Tensor]:
    """Items whose first three numbers are 1 for the matching captions."""
    generator = torch.Generator().manual_seed(1)
    present = (torch.rand(16, 3, generator=generator) < 0.4).float()
    noise = 0.1 * torch.randn(16, 3, generator=generator)
    return {"inputs": torch.cat([present, noise], dim=1), "present": present}


def segmenter() -> TextPromptedPretraining:
    torch.manual_seed(0)
    model = TextPromptedPretraining(SAM2, BEIT3, CLASSES)
    randomise(model)
    return model


@cache
def prompted_pictures() -> dict[str, Tensor]:
    """Two images with bright left halves; a caption for the left half and one for nothing."""
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    pictures[..., :32] += 2
    targets = torch.zeros(2, 2, 64, 64, dtype=torch.bool)
    targets[:, 0, :, :32] = True
    classes = torch.zeros(2, 64, 64, dtype=torch.uint8)
    classes[..., :32] = 2
    return {
        "pixel_values_sam": pictures,
        "pixel_values_beit3": pictures,
        "captions": torch.tensor([[[4, 0, 0], [5, 6, 0]]] * 2),
        "targets": targets,
        "classes": classes,
    }


def losses_of(model: nn.Module, batch: dict[str, Tensor], steps: int, rate: float) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_tower_learns_which_captions_match() -> None:
    model, batch = contrast(), pairs()
    losses = losses_of(model, batch, steps=60, rate=2e-2)
    assert losses[-1] < 0.3 * losses[0]
    agree = (model(**batch).logits > 0) == batch["present"].bool()
    assert agree.float().mean() > 0.9


def test_every_item_is_compared_with_every_caption() -> None:
    assert contrast()(**pairs()).logits.shape == (16, 3)


def test_the_loss_is_that_of_all_pairs_summed_over_the_captions() -> None:
    model, batch = contrast(), pairs()
    out = model(**batch)
    truth = batch["present"]
    each = -(truth * out.logits.sigmoid().log() + (1 - truth) * (-out.logits).sigmoid().log())
    torch.testing.assert_close(out.loss, each.sum(dim=1).mean())


def test_the_length_of_an_embedding_has_no_effect() -> None:
    model, batch = contrast(), pairs()
    before = model(**batch).logits
    with torch.no_grad():
        for parameter in model.tower.parameters():
            parameter.mul_(3)
    torch.testing.assert_close(model(**batch).logits, before)


def test_every_parameter_of_a_tower_trains() -> None:
    model = contrast()
    model(**pairs()).loss.backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None]
    assert idle == []


def test_captions_are_not_in_the_state_dict() -> None:
    assert "captions" not in contrast().state_dict()


def test_masks_of_named_objects_improve() -> None:
    losses = losses_of(segmenter(), prompted_pictures(), steps=12, rate=2e-3)
    assert losses[-1] < 0.8 * losses[0]


def test_there_is_a_best_mask_for_every_prompt() -> None:
    out = segmenter()(**prompted_pictures())
    assert out.mask_logits.shape == (2, 2, 16, 16)
    assert float(out.loss.detach()) > float(out.mask_loss) > 0


def test_every_parameter_of_the_segmenter_trains_but_those_of_other_prompts() -> None:
    model = segmenter()
    model(**prompted_pictures()).loss.backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in idle if not name.startswith(UNUSED)} == set()
    assert all(any(name.startswith(prefix) for name in idle) for prefix in UNUSED)


def test_the_padding_of_a_caption_has_no_effect() -> None:
    model, batch = segmenter().eval(), prompted_pictures()
    padded = model(**batch | {"captions": nn.functional.pad(batch["captions"], (0, 2))})
    torch.testing.assert_close(padded.mask_logits, model(**batch).mask_logits)


def test_a_mask_depends_on_its_own_caption_alone() -> None:
    model, batch = segmenter().eval(), prompted_pictures()
    captions = batch["captions"].clone()
    captions[:, 1] = 7
    before = model(**batch).mask_logits
    after = model(**batch | {"captions": captions}).mask_logits
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert (after[:, 1] - before[:, 1]).abs().max() > 1e-4


def test_the_auxiliary_heads_are_outside_the_segmenter() -> None:
    names = [name for name in segmenter().state_dict() if not name.startswith("segmenter.")]
    assert {name.split(".")[0] for name in names} == {
        "class_heads",
        "placing_head",
        "pointing_head",
    }


def test_position_embeddings_of_near_patches_begin_alike() -> None:
    beit3 = Beit3Config(image_size=128, patch_size=16, dim=32, num_layers=1, num_heads=2)
    rows = TextPromptedPretraining(SAM2, beit3, CLASSES).segmenter.beit3.patch_positions
    side = round(len(rows) ** 0.5)
    alike = nn.functional.cosine_similarity(rows[None], rows[:, None], dim=-1)
    assert rows.std() > 1  # as large as what the patches show, not lost in it
    assert alike[0, 1] > alike[0, 2] > alike[0, -1]
    assert alike[0, side] > alike[0, 2 * side] > alike[0, -1]


def test_the_smooth_maps_move_with_the_model_and_are_not_saved() -> None:
    model = segmenter().to("meta")
    assert {tensor.device.type for tensor in model.buffers()} == {"meta"}
    assert "smooth_maps" not in model.state_dict()
    shares = model._patch_shares(torch.zeros(2, 32, 32, device="meta"))
    model._placing_loss(torch.zeros(2, SAM2.prompt_dim, device="meta"), shares)


def test_a_prompt_learns_the_position_of_its_objects() -> None:
    model, batch = segmenter(), prompted_pictures()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        captions = batch["captions"][:, :1].flatten(0, 1)
        beit3 = model.segmenter.beit3
        image_tokens = beit3.embed_images(batch["pixel_values_beit3"])
        prompts = model.segmenter.text_prompts(image_tokens, beit3.embed_text(captions))
        shares = model._patch_shares(batch["targets"][:, 0].float())
        loss = model._placing_loss(prompts[:, 0], shares)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_the_class_of_a_position_is_that_of_the_pixel_at_its_centre() -> None:
    classes = torch.zeros(1, 8, 8, dtype=torch.uint8)
    classes[0, 2, 6] = 1  # the centre of the upper right of 2 x 2 positions
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 0] = 9.0
    logits[0, 0, 0, 1], logits[0, 1, 0, 1] = 0.0, 9.0
    assert class_loss(logits, classes) < 1e-3
    assert class_loss(logits.flip(1), classes) > 8


def test_a_missed_object_weighs_more_than_a_missed_background() -> None:
    classes = torch.tensor([[[0, 1]]], dtype=torch.uint8).repeat(1, 2, 1)
    all_background, all_object = torch.zeros(2, 1, 2, 2, 2).unbind()
    all_background[0, 0] = all_object[0, 1] = 5.0
    assert class_loss(all_background, classes) > 5 * class_loss(all_object, classes)


def test_frozen_encoders_do_not_change() -> None:
    torch.manual_seed(0)
    model = TextPromptedPretraining(SAM2, BEIT3, CLASSES, learn_encoders=False).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses_of(model, prompted_pictures(), steps=1, rate=1e-2)
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    encoders = ("segmenter.beit3.", "segmenter.sam.sam2.vision_encoder.")
    assert not {name for name in changed if name.startswith(encoders)}
    assert {name for name in changed if name.startswith("segmenter.sam.sam2.mask_decoder.")}
    assert {name for name in changed if name.startswith("segmenter.text_hidden_fcs.")}
