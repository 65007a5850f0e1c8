"""Pre-training objectives of the small backbones: contrastive, classification, text-prompted masks.

The published backbones are pre-trained by their authors; these objectives train small ones from
pairs of images or audio with captions. None of them uses an image together with its audio.

N items, C captions, P prompts for each image, K masks for each prompt; R is the side of an image in
pixels.
"""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3Config

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clip import ClipImageTower, ClipTextTower
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import ImageFeatures
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from avseg.backbones.sam3 import PromptedSam3
from avseg.models.outputs import (
    ClassOutput,
    ContrastOutput,
    TextPromptOutput,
    iou_prediction_loss,
    mask_loss,
    presence_loss,
)

#: Number of cosines along each axis of the smooth position maps, see `_smooth_maps`.
_WAVES = 4


class ContrastivePretraining(nn.Module):
    """Contrastive pre-training of a tower with captions (SigLIP's loss).

    Each item is compared with every caption; a pair is positive if the caption matches the item
    (Zhai et al., ICCV 2023, arXiv:2303.15343). With one caption for each category several captions
    may match an item, which a softmax over the captions could not represent.

    Args:
        tower: Module from items to embeddings, (N, ...) to (N, D).
        text_tower: Module from captions to embeddings of the same width.
        captions: Token ids of all captions, (C, T) int64.
    """

    captions: Tensor

    def __init__(self, tower: nn.Module, text_tower: ClipTextTower, captions: Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.text_tower = text_tower
        self.register_buffer("captions", captions, persistent=False)
        # As in SigLIP, logits start at 10 times the cosine; the logarithm keeps the scale positive.
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        # sigmoid(-3) is 5 %, about the share of captions that match: from 0, the first steps would
        # learn only this share.
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, inputs: Tensor, present: Tensor) -> ContrastOutput:
        """Compute the logits of items and captions, and the loss.

        Args:
            inputs: Inputs of the tower, (N, ...).
            present: 1 where the caption matches the item, (N, C).

        Returns:
            Loss and logits.
        """
        logits = self.compare(inputs)
        return ContrastOutput(loss=self.contrast_loss(logits, present), logits=logits)

    def compare(self, inputs: Tensor) -> Tensor:
        """Compute the logit that each caption matches each item, (N, C)."""
        # float32, since bf16 rounds cosines near 1 to steps of 1/256.
        items = F.normalize(self.tower(inputs).float(), dim=-1)
        texts = F.normalize(self.text_tower(self.captions).float(), dim=-1)
        return self.log_scale.exp() * items @ texts.T + self.bias

    def contrast_loss(self, logits: Tensor, present: Tensor) -> Tensor:
        """Compute the loss of all pairs, summed over captions and averaged over items, a scalar."""
        return F.binary_cross_entropy_with_logits(logits, present) * len(self.captions)


class LocatedContrastivePretraining(ContrastivePretraining):
    """Contrastive pre-training of an image tower, with a classification of each patch by its stem.

    Without this auxiliary loss a randomly initialised stem needs several times as many images
    before the contrastive loss falls. The classification head is discarded after the training.

    Args:
        tower: An image tower.
        text_tower: Module from captions to embeddings of the same width.
        captions: Token ids of a caption for each category and one for nothing, (C, T) int64.
    """

    def __init__(self, tower: ClipImageTower, text_tower: ClipTextTower, captions: Tensor) -> None:
        super().__init__(tower, text_tower, captions)
        self.class_head = nn.Conv2d(tower.config.dim, len(captions), 1)

    def forward(self, inputs: Tensor, present: Tensor, classes: Tensor) -> ContrastOutput:  # type: ignore[override]
        """Compute the logits of images and captions, and both losses.

        Args:
            inputs: Normalised images, (N, 3, R, R).
            present: 1 where the caption matches the image, (N, C).
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            Loss, and logits of the captions.
        """
        # A hook, since the tower returns the embedding of the image but not its patches.
        patches: list[Tensor] = []
        stem = self.tower.get_submodule("clip.vision_model.embeddings.patch_embedding")
        hook = stem.register_forward_hook(lambda _, __, out: patches.append(out))
        logits = self.compare(inputs)
        hook.remove()
        dense = class_loss(self.class_head(patches[0]).float(), classes)
        return ContrastOutput(loss=self.contrast_loss(logits, present) + 2 * dense, logits=logits)


class ClassHeads(nn.Module):
    """Linear heads that classify each position of the two coarser feature levels of SAM 2.

    Args:
        dim: Width of the levels.
        num_classes: Number of categories, without the background.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(dim, 1 + num_classes, 1) for _ in range(2))

    def forward(self, features: ImageFeatures, classes: Tensor) -> Tensor:
        """Compute the classification loss, a scalar.

        Args:
            features: Feature levels of N images.
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            Mean loss of the two levels.
        """
        # `levels` begins with the coarsest; the finer of the two gets the first head.
        levels = (features.levels[1], features.levels[0])
        losses = [
            class_loss(head(level).float(), classes)
            for head, level in zip(self.heads, levels, strict=True)
        ]
        return torch.stack(losses).mean()


class ClassPretraining(nn.Module):
    """Pre-training of SAM 2's image encoder: classification of each position.

    Args:
        config: Configuration of the image encoder.
        num_classes: Number of categories, without the background.
    """

    def __init__(self, config: PromptedSam2Config, num_classes: int) -> None:
        super().__init__()
        self.sam = PromptedSam2(config)
        self.class_heads = ClassHeads(config.prompt_dim, num_classes)

    def forward(self, pixel_values_sam: Tensor, classes: Tensor) -> ClassOutput:
        """Classify each position, and compute the loss.

        Args:
            pixel_values_sam: Normalised images, (N, 3, R, R).
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            The loss, and the logits of the finer of the two levels.
        """
        features = self.sam.encode_images(pixel_values_sam)
        return ClassOutput(
            loss=self.class_heads(features, classes),
            logits=self.class_heads.heads[0](features.levels[1]),
        )


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Compute the cross-entropy of the category at the centre of each position.

    Args:
        logits: Logits of the background and of each category, (N, 1 + num_classes, h, h).
        classes: Category of each pixel from 1, 0 for the background, (N, R, R).

    Returns:
        Mean over positions, a scalar.
    """
    stride = classes.shape[-1] // logits.shape[-1]
    centres = classes[:, stride // 2 :: stride, stride // 2 :: stride].long()
    weights = torch.ones(logits.shape[1], device=logits.device)
    # Most positions are background, which would dominate the mean.
    weights[0] = 0.15
    return F.cross_entropy(logits, centres, weight=weights)


class TextPromptedPretraining(nn.Module):
    """Pre-training of EVF-SAM: masks of the objects that captions name, with auxiliary losses.

    Auxiliary heads, which are discarded after the training, predict the category of each position
    from SAM 2's features, and the position of the named objects from BEiT-3's image tokens and from
    the prompt. With the mask loss alone, the encoders learn quickly to find objects, but need very
    many steps to distinguish the categories.

    Args:
        sam_config: Configuration of the image encoder and mask decoder.
        beit3_config: Configuration of the image-text encoder.
        num_classes: Number of categories, without the background.
        learn_encoders: Whether SAM 2's image encoder and BEiT-3 are trained too, or the mask
            decoder alone.
        boundary_weight: Additional weight of the pixels near the boundary in the mask loss, see
            `bce_loss`.
    """

    smooth_maps: Tensor

    def __init__(
        self,
        sam_config: PromptedSam2Config,
        beit3_config: Beit3Config,
        num_classes: int,
        learn_encoders: bool = True,
        boundary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.boundary_weight = boundary_weight
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
        """Set the training mode; frozen parts stay in evaluation mode."""
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
        """Segment the objects that each caption names, and compute the losses.

        Args:
            pixel_values_sam: Images normalised for SAM 2, (N, 3, R, R).
            pixel_values_beit3: Images normalised for BEiT-3, (N, 3, R, R).
            captions: Word numbers, 0 for padding, (N, P, T) int64.
            targets: Ground-truth masks, (N, P, R, R) bool.
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            The loss, its parts, and the best masks.
        """
        images, prompts = captions.shape[:2]
        # Each image is encoded once; its features are repeated for its P captions.
        of_image = torch.arange(images, device=captions.device).repeat_interleave(prompts)
        features = self.segmenter.sam.encode_images(pixel_values_sam)
        words = captions.flatten(0, 1)
        beit3 = self.segmenter.beit3
        tokens = beit3(
            beit3.embed_images(pixel_values_beit3)[of_image], beit3.embed_text(words), words == 0
        )
        # As in EVF-SAM, the class token is the prompt; the image tokens follow it.
        sparse = self.segmenter.text_hidden_fcs(tokens[:, :1])
        prediction = self.segmenter.sam.decode_masks(features.repeat(of_image), sparse)
        # The losses are computed at half the side of the images, which costs a quarter. The target
        # is the share of mask pixels, which keeps the edges of small objects.
        shares = F.avg_pool2d(targets.flatten(0, 1).float(), 2)  # (N * P, R / 2, R / 2)
        logits = prediction.mask_logits.float()
        # Every mask of a prompt is trained, not only the best one.
        masks = torch.stack(
            [mask_loss(one, shares, self.boundary_weight) for one in logits.unbind(1)]
        ).mean()
        estimates = iou_prediction_loss(
            logits, prediction.iou_predictions.float(), shares > 0.5
        ).mean()
        if prediction.object_score_logits is not None:
            presence = prediction.object_score_logits.float()
            estimates = estimates + 0.2 * presence_loss(presence, shares).mean()
        of_patches = self._patch_shares(shares)
        auxiliary = (
            0.5 * self.class_heads(features, classes)
            + self._pointing_loss(tokens, of_patches)
            + self._placing_loss(sparse[:, 0], of_patches)
        )
        return TextPromptOutput(
            loss=masks + 0.5 * estimates + auxiliary,
            mask_loss=masks.detach(),
            helper_loss=auxiliary.detach(),
            mask_logits=prediction.best()[0].unflatten(0, (images, prompts)),
        )

    def _patch_shares(self, shares: Tensor) -> Tensor:
        """Return the share of each of BEiT-3's V patches that is inside the mask, (N * P, V)."""
        side = math.isqrt(self.smooth_maps.shape[1])
        return F.adaptive_avg_pool2d(shares, side).flatten(1)

    def _pointing_loss(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """Compute the loss of the predicted share of each patch, from BEiT-3's image tokens."""
        # Token 0 is the class token; the words follow the V image tokens.
        patches = tokens[:, 1 : 1 + shares.shape[1]]
        logits = self.pointing_head(patches).float().squeeze(-1)
        return F.binary_cross_entropy_with_logits(logits, shares)

    def _placing_loss(self, prompts: Tensor, shares: Tensor) -> Tensor:
        """Compute the loss of the predicted position map of the named objects, from the prompts."""
        # Initially all logits are about -2, so that most of the image counts as outside of the
        # objects.
        logits = self.placing_head(prompts).float() @ self.smooth_maps - 2
        return F.binary_cross_entropy_with_logits(logits, shares)

    @torch.no_grad()
    def _start_positions(self) -> None:
        """Initialise BEiT-3's position embeddings from smooth maps, scaled like patch embeddings.

        BEiT-3 initialises its position embeddings with small random numbers. Its image tokens then
        learn the positions of the named objects, but its class token, which is the prompt, does not
        in affordable time; and a prompt without a position selects the wrong object.
        """
        maps = self.smooth_maps[1:].T  # (V, _WAVES^2 - 1), without the constant map
        positions = self.segmenter.beit3.patch_positions  # (V, D)
        # An orthogonal matrix spreads the maps over the width and keeps them distinguishable.
        projected = maps @ nn.init.orthogonal_(torch.empty(positions.shape[1], maps.shape[1])).T
        # The patch embeddings have values of 2 to 6: smaller positions would have no effect on the
        # attention for thousands of steps.
        positions += 2 * projected / projected.std()


class Sam3Pretraining(nn.Module):
    """Pre-training of SAM 3: one mask of the objects that each caption names, and their presence.

    An auxiliary head, which is discarded after the training, predicts the category of each patch of
    the image encoder. The masks and scores of single instances are not trained.

    Args:
        config: Configuration of SAM 3.
        num_classes: Number of categories, without the background.
    """

    def __init__(self, config: Sam3Config, num_classes: int) -> None:
        super().__init__()
        self.segmenter = PromptedSam3(config)
        self._start_weights()
        self.class_head = nn.Conv2d(self.segmenter.block_dims[0], 1 + num_classes, 1)

    def forward(
        self, pixel_values_sam3: Tensor, captions: Tensor, targets: Tensor, classes: Tensor
    ) -> TextPromptOutput:
        """Segment the objects that each caption names, and compute the losses.

        Args:
            pixel_values_sam3: Images normalised for SAM 3, (N, 3, R, R).
            captions: Word numbers, 0 for padding, (N, P, T) int64.
            targets: Ground-truth masks, (N, P, R, R) bool.
            classes: Category of each pixel from 1, 0 for the background, (N, R, R).

        Returns:
            The loss, its parts, and the masks.
        """
        images, prompts = captions.shape[:2]
        of_image = torch.arange(images, device=captions.device).repeat_interleave(prompts)
        words = captions.flatten(0, 1)
        patches = self.segmenter.encode_patches(pixel_values_sam3)
        texts = self.segmenter.embed_texts(words, words == 0)
        prediction = self.segmenter(patches, texts, words == 0, of_image)
        # Half the side of the images, as in the pre-training of EVF-SAM.
        shares = F.avg_pool2d(targets.flatten(0, 1).float(), 2)  # (N * P, R / 2, R / 2)
        logits = prediction.mask_logits[:, 0].float()
        masks = mask_loss(logits, shares).mean()
        scores: Any = prediction.object_score_logits  # SAM 3 always has them
        presence = presence_loss(scores.float(), shares).mean()
        auxiliary = 0.5 * class_loss(self.class_head(patches).float(), classes)
        return TextPromptOutput(
            loss=masks + 0.2 * presence + auxiliary,
            mask_loss=masks.detach(),
            helper_loss=auxiliary.detach(),
            mask_logits=logits.unflatten(0, (images, prompts)),
        )

    @torch.no_grad()
    def _start_weights(self) -> None:
        """Initialise each layer so that its outputs have about the variance of its inputs.

        `transformers` initialises all weights with a standard deviation of 0.02, which suits the
        published widths. At a width of 64 each layer would divide the signal by six: the finest
        level of the feature pyramid, after four layers, would have almost no effect on the mask.
        """
        for module in self.segmenter.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
            elif isinstance(module, nn.Linear | nn.Conv2d):
                inputs = module.weight[0].numel()
                nn.init.normal_(module.weight, std=inputs**-0.5)
            elif isinstance(module, nn.ConvTranspose2d):
                # Its kernels do not overlap, so each output has one weight for each channel.
                nn.init.normal_(module.weight, std=module.in_channels**-0.5)


def _smooth_maps(side: int) -> Tensor:
    """Return the products of the first `_WAVES` cosines along both axes, (_WAVES^2, side^2)."""
    centres = (torch.arange(side) + 0.5) / side
    # The basis of the two-dimensional cosine transform; the first map is constant.
    waves = torch.cos(math.pi * torch.arange(_WAVES)[:, None] * centres)  # (_WAVES, side)
    return torch.einsum("iy,jx->ijyx", waves, waves).flatten(0, 1).flatten(1)
