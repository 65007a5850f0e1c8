"""Pre-training of the backbones: towers against captions, and text-prompted segmentation.

The published backbones come pre-trained; these objectives make small ones from pairs of pictures
or sounds with captions. Nothing here sees a picture and its sound together.

N items, C captions, P prompts of a picture, R side of a picture, K masks of a prompt.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clip import ClipImageTower, ClipTextTower
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import ImageFeatures
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from avseg.models.outputs import (
    ClassOutput,
    ContrastOutput,
    TextPromptOutput,
    iou_prediction_loss,
    mask_loss,
    presence_loss,
)

#: Cosines of each axis in the smooth maps of places.
_WAVES = 4


class ContrastivePretraining(nn.Module):
    """A tower whose embedding agrees with the captions of what it is given (SigLIP's loss).

    Each item is compared with every caption; a pair is positive if the caption is true of the item
    (Zhai et al., ICCV 2023, arXiv:2303.15343). With one caption for each category an item may have
    several true ones, which a softmax over the batch could not say.

    Args:
        tower: Items to embeddings, (N, ...) to (N, D).
        text_tower: Captions to embeddings of the same width.
        captions: Token ids of all captions, (C, T) int64.
    """

    captions: Tensor

    def __init__(self, tower: nn.Module, text_tower: ClipTextTower, captions: Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.text_tower = text_tower
        self.register_buffer("captions", captions, persistent=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, inputs: Tensor, present: Tensor) -> ContrastOutput:
        """Compare items with captions.

        Args:
            inputs: What the tower takes, (N, ...).
            present: 1 where the caption is true of the item, (N, C).

        Returns:
            Loss and logits.
        """
        logits = self.compare(inputs)
        return ContrastOutput(loss=self.contrast_loss(logits, present), logits=logits)

    def compare(self, inputs: Tensor) -> Tensor:
        """Return how true each caption is of each item, before the sigmoid, (N, C)."""
        items = F.normalize(self.tower(inputs).float(), dim=-1)
        texts = F.normalize(self.text_tower(self.captions).float(), dim=-1)
        return self.log_scale.exp() * items @ texts.T + self.bias

    def contrast_loss(self, logits: Tensor, present: Tensor) -> Tensor:
        """Return the loss of all pairs, summed over captions and averaged over items, a scalar."""
        return F.binary_cross_entropy_with_logits(logits, present) * len(self.captions)


class LocatedContrastivePretraining(ContrastivePretraining):
    """The same for pictures, with dense help: the stem's patches learn the category they lie on.

    Without it a stem from scratch needs several times as many pictures before captions mean
    anything to it. The head is thrown away afterwards.

    Args:
        tower: An image tower.
        text_tower: Captions to embeddings of the same width.
        captions: Token ids of a caption for each category and one for nothing, (C, T) int64.
    """

    def __init__(self, tower: ClipImageTower, text_tower: ClipTextTower, captions: Tensor) -> None:
        super().__init__(tower, text_tower, captions)
        self.class_head = nn.Conv2d(tower.config.dim, len(captions), 1)

    def forward(self, inputs: Tensor, present: Tensor, classes: Tensor) -> ContrastOutput:  # type: ignore[override]
        """Compare pictures with captions, and their patches with categories.

        Args:
            inputs: Normalised pictures, (N, 3, R, R).
            present: 1 where the caption is true of the picture, (N, C).
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            Loss, and logits of the captions.
        """
        patches: list[Tensor] = []
        stem = self.tower.get_submodule("clip.vision_model.embeddings.patch_embedding")
        hook = stem.register_forward_hook(lambda _, __, out: patches.append(out))
        logits = self.compare(inputs)
        hook.remove()
        dense = class_loss(self.class_head(patches[0]).float(), classes)
        return ContrastOutput(loss=self.contrast_loss(logits, present) + 2 * dense, logits=logits)


class ClassHeads(nn.Module):
    """Linear heads that read the category of each position from SAM 2's two coarser levels.

    Args:
        dim: Width of the levels.
        num_classes: Categories, without the background.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(dim, 1 + num_classes, 1) for _ in range(2))

    def forward(self, features: ImageFeatures, classes: Tensor) -> Tensor:
        """Return the loss, a scalar, for the category of each pixel, (N, R, R)."""
        levels = (features.levels[1], features.levels[0])
        losses = [
            class_loss(head(level).float(), classes)
            for head, level in zip(self.heads, levels, strict=True)
        ]
        return torch.stack(losses).mean()


class ClassPretraining(nn.Module):
    """SAM 2's image encoder from scratch: the category of each position.

    Args:
        config: Sizes of the image encoder.
        num_classes: Categories, without the background.
    """

    def __init__(self, config: PromptedSam2Config, num_classes: int) -> None:
        super().__init__()
        self.sam = PromptedSam2(config)
        self.class_heads = ClassHeads(config.prompt_dim, num_classes)

    def forward(self, pixel_values_sam: Tensor, classes: Tensor) -> ClassOutput:
        """Learn categories.

        Args:
            pixel_values_sam: Normalised pictures, (N, 3, R, R).
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            The loss, and logits of the finer level.
        """
        features = self.sam.encode_images(pixel_values_sam)
        return ClassOutput(
            loss=self.class_heads(features, classes),
            logits=self.class_heads.heads[0](features.levels[1]),
        )


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of the category at the centre of each position; the background weighs little.

    Args:
        logits: Of the background and each category, (N, 1 + num_classes, h, h).
        classes: Category of each pixel from 1, 0 for the background, (N, R, R).

    Returns:
        Mean over positions, a scalar.
    """
    stride = classes.shape[-1] // logits.shape[-1]
    centres = classes[:, stride // 2 :: stride, stride // 2 :: stride].long()
    weights = torch.ones(logits.shape[1], device=logits.device)
    weights[0] = 0.15
    return F.cross_entropy(logits, centres, weight=weights)


class TextPromptedPretraining(nn.Module):
    """EVF-SAM from scratch: masks of what captions name, with dense help for the encoders.

    Besides the masks, heads that are thrown away afterwards learn the category of each position
    from SAM 2's features, and where the caption points from BEiT-3's image tokens and from the
    prompt; from the masks alone the encoders learn to find objects, but for long not to tell them
    apart.

    Args:
        sam_config: Sizes of the image encoder and mask decoder.
        beit3_config: Sizes of the image-text encoder.
        num_classes: Categories, without the background.
        learn_encoders: Whether SAM 2's image encoder and BEiT-3 learn too, or the mask decoder
            alone, which then follows them sooner.
    """

    smooth_maps: Tensor

    def __init__(
        self,
        sam_config: PromptedSam2Config,
        beit3_config: Beit3Config,
        num_classes: int,
        learn_encoders: bool = True,
    ) -> None:
        super().__init__()
        self.segmenter = TextPromptedSam(sam_config, beit3_config)
        self.frozen: tuple[nn.Module, ...] = ()
        if not learn_encoders:
            self.frozen = (self.segmenter.beit3, self.segmenter.sam.image_encoder)
            for encoder in self.frozen:
                encoder.requires_grad_(False)
        self.class_heads = ClassHeads(sam_config.prompt_dim, num_classes)
        self.pointing_head = nn.Linear(beit3_config.dim, 1)
        self.placing_head = nn.Linear(sam_config.prompt_dim, _WAVES**2)
        side = beit3_config.image_size // beit3_config.patch_size
        self.register_buffer("smooth_maps", _smooth_maps(side), persistent=False)
        self._start_positions()

    def train(self, mode: bool = True) -> Self:
        """Switch training mode, which frozen parts never enter."""
        super().train(mode)
        for encoder in self.frozen:
            encoder.eval()
        return self

    def forward(
        self,
        pixel_values_sam: Tensor,
        pixel_values_beit3: Tensor,
        captions: Tensor,
        targets: Tensor,
        classes: Tensor,
    ) -> TextPromptOutput:
        """Segment what each caption names.

        Args:
            pixel_values_sam: Pictures normalised for SAM 2, (N, 3, R, R).
            pixel_values_beit3: Pictures normalised for BEiT-3, (N, 3, R, R).
            captions: Word numbers, 0 is padding, (N, P, T) int64.
            targets: True masks, (N, P, R, R) bool.
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            The loss, its parts, and the best masks.
        """
        images, prompts = captions.shape[:2]
        of_image = torch.arange(images, device=captions.device).repeat_interleave(prompts)
        features = self.segmenter.sam.encode_images(pixel_values_sam)
        words = captions.flatten(0, 1)
        beit3 = self.segmenter.beit3
        tokens = beit3(
            beit3.embed_images(pixel_values_beit3)[of_image], beit3.embed_text(words), words == 0
        )
        sparse = self.segmenter.text_hidden_fcs(tokens[:, :1])
        prediction = self.segmenter.sam.decode_masks(features.repeat(of_image), sparse)
        truth = F.avg_pool2d(targets.flatten(0, 1).float(), 2)  # (N * P, R / 2, R / 2)
        logits = prediction.mask_logits.float()
        masks = torch.stack([mask_loss(one, truth) for one in logits.unbind(1)]).mean()
        estimates = iou_prediction_loss(
            logits, prediction.iou_predictions.float(), truth > 0.5
        ).mean()
        if prediction.object_score_logits is not None:
            presence = prediction.object_score_logits.float()
            estimates = estimates + 0.2 * presence_loss(presence, truth).mean()
        shares = self._shares(truth)
        helpers = (
            0.5 * self.class_heads(features, classes)
            + self._pointing_loss(tokens, shares)
            + self._placing_loss(sparse[:, 0], shares)
        )
        return TextPromptOutput(
            loss=masks + 0.5 * estimates + helpers,
            mask_loss=masks.detach(),
            helper_loss=helpers.detach(),
            mask_logits=prediction.best()[0].unflatten(0, (images, prompts)),
        )

    def _shares(self, truth: Tensor) -> Tensor:
        """Return how much of each of BEiT-3's V patches the truth covers, (N * P, V)."""
        side = math.isqrt(self.smooth_maps.shape[1])
        return F.adaptive_avg_pool2d(truth, side).flatten(1)

    def _pointing_loss(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """Teach image tokens whether they lie on what the caption names."""
        patches = tokens[:, 1 : 1 + shares.shape[1]]
        logits = self.pointing_head(patches).float().squeeze(-1)
        return F.binary_cross_entropy_with_logits(logits, shares)

    def _placing_loss(self, prompts: Tensor, shares: Tensor) -> Tensor:
        """Teach prompts to say where the things are that they ask for, as a smooth map."""
        logits = self.placing_head(prompts).float() @ self.smooth_maps - 2
        return F.binary_cross_entropy_with_logits(logits, shares)

    @torch.no_grad()
    def _start_positions(self) -> None:
        """Start BEiT-3's image positions from smooth maps, as large as what patches show.

        From the small random numbers that they start from in BEiT-3, its class token does not learn
        in any affordable time where the things are that the text names, although its image tokens
        do; and a prompt without a place picks the wrong object.
        """
        maps = self.smooth_maps[1:].T  # (V, _WAVES^2 - 1)
        rows = self.segmenter.beit3.patch_positions  # (V, D)
        turned = maps @ nn.init.orthogonal_(torch.empty(rows.shape[1], maps.shape[1])).T
        rows += 2 * turned / turned.std()


def _smooth_maps(side: int) -> Tensor:
    """Return products of a row's and a column's first cosines, (_WAVES^2, side^2)."""
    places = (torch.arange(side) + 0.5) / side
    waves = torch.cos(math.pi * torch.arange(_WAVES)[:, None] * places)  # (_WAVES, side)
    return torch.einsum("iy,jx->ijyx", waves, waves).flatten(0, 1).flatten(1)
