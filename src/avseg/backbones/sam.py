"""What every promptable SAM here does: the interface, and what passes through it.

N images, M prompts, S image side, C_i input width of block i, E prompt width, P prompt tokens,
h side of the image embedding's grid, m side of the mask logits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

#: Mask logit where there is nothing to mark, as in SAM 2.
NO_OBJECT_LOGIT = -1024.0


@dataclass(frozen=True)
class ImageFeatures:
    """What an image encoder knows of N images, lined up with M prompts.

    Args:
        levels: The image embedding, (N, E, h, h); of SAM 2 also the levels of twice and four times
            its resolution, (N, E, 2h, 2h) and (N, E, 4h, 4h).
        image_index: For each prompt the image it belongs to, (M,) int64; None for one prompt an
            image, in order.
        conditioned: Image embedding of each prompt in place of its image's, (M, E, h, h), where it
            differs from prompt to prompt; None where it does not.
    """

    levels: tuple[Tensor, ...]
    image_index: Tensor | None = None
    conditioned: Tensor | None = None

    @property
    def embeddings(self) -> Tensor:
        """The image embedding, of each image once, (N, E, h, h)."""
        return self.levels[0]

    def repeat(self, index: Tensor) -> "ImageFeatures":
        """Line images up with prompts; nothing is copied, so that work on an image is done once.

        Args:
            index: For each prompt the image it belongs to, (M,) int64.

        Returns:
            The same features for M prompts.
        """
        before = self.image_index
        return ImageFeatures(
            self.levels,
            index if before is None else before[index],
            None if self.conditioned is None else self.conditioned[index],
        )

    @property
    def prompt_embeddings(self) -> Tensor:
        """The image embedding of each prompt, (M, E, h, h)."""
        return self.per_prompt(self.embeddings) if self.conditioned is None else self.conditioned

    def per_prompt(self, level: Tensor) -> Tensor:
        """Repeat what was made of a level for each prompt, (N, ...) to (M, ...)."""
        return level if self.image_index is None else level[self.image_index]


@dataclass(frozen=True)
class MaskPrediction:
    """A mask decoder's answer to M prompts.

    Args:
        mask_logits: K masks each, before the sigmoid, (M, K, m, m), K = 3 or 1.
        iou_predictions: The decoder's estimate of each mask's IoU, (M, K) in [0, 1].
        object_score_logits: Whether there is such an object, before the sigmoid, (M, 1); None of
            SAM 1, which does not say.
        resized_to: Side to which masks are resized before all else, in pixels; None leaves them.
        mask_tokens: The decoder's token behind each mask, (M, K, E); None of SAM 1, which gives
            none out.
    """

    mask_logits: Tensor
    iou_predictions: Tensor
    object_score_logits: Tensor | None = None
    resized_to: int | None = None
    mask_tokens: Tensor | None = None

    def best(self, suppress_absent: bool = False) -> tuple[Tensor, Tensor]:
        """Pick of the K masks the one with the highest predicted IoU.

        Args:
            suppress_absent: Whether there is no mask where the object score says that there is no
                such object, as in SAM 2 (arXiv:2408.00714, appendix D).

        Returns:
            Mask logits, (M, m, m) or (M, resized_to, resized_to), and predicted IoU (M,).
        """
        rows, best = self._best_index()
        logits = self.mask_logits[rows, best]
        if self.resized_to is not None:
            side = (self.resized_to, self.resized_to)
            logits = F.interpolate(logits.unsqueeze(1), side, mode="bilinear").squeeze(1)
        if suppress_absent and self.object_score_logits is not None:
            is_absent = self.object_score_logits <= 0  # (M, 1)
            logits = logits.masked_fill(is_absent.unsqueeze(-1), NO_OBJECT_LOGIT)
        return logits, self.iou_predictions[rows, best]

    def best_tokens(self) -> Tensor:
        """Give the token behind the mask that `best` picks, (M, E); of SAM 2 only."""
        if self.mask_tokens is None:
            raise TypeError("this decoder gives no mask tokens out; take SAM 2's.")
        return self.mask_tokens[self._best_index()]

    def _best_index(self) -> tuple[Tensor, Tensor]:
        best = self.iou_predictions.argmax(dim=1)  # (M,)
        return torch.arange(len(best), device=best.device), best


class PromptedSamConfig(Protocol):
    """What is asked of the sizes of a promptable SAM."""

    image_size: int
    prompt_dim: int

    @property
    def embedding_stride(self) -> int:
        """Pixels per step of the image embedding's grid."""
        ...


class PromptedSam(Protocol):
    """A SAM that takes a vector for each encoder block and embeddings as prompts."""

    #: Recompute blocks in the backward pass instead of keeping their activations.
    gradient_checkpointing: bool
    #: How many blocks that is, from the first on; None for all.
    recomputed_blocks: int | None

    @property
    def config(self) -> PromptedSamConfig:
        """Sizes."""
        ...

    @property
    def image_encoder(self) -> nn.Module:
        """The part that sees the image, which AV2T-SAM keeps frozen."""
        ...

    @property
    def block_dims(self) -> list[int]:
        """Input width C_i of every encoder block."""
        ...

    def encode_images(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> ImageFeatures:
        """Encode images, with a vector added at every position of each block's input.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            Features of the images.

        Raises:
            ValueError: If the images are of another size, or there is not one prompt for each
                block.
        """
        ...

    def decode_masks(
        self, features: ImageFeatures, sparse_prompt_embeddings: Tensor, multimask: bool = True
    ) -> MaskPrediction:
        """Decode the masks of each prompt.

        Args:
            features: Of the images, lined up with the prompts.
            sparse_prompt_embeddings: Prompt tokens, (M, P, E).
            multimask: Three masks for a prompt that may mean several things, or one.

        Returns:
            The masks and what the decoder thinks of them.
        """
        ...


def is_recomputed(sam: PromptedSam, block: int) -> bool:
    """Say whether a block's activations are computed again in the backward pass.

    Args:
        sam: The model.
        block: Number of the block.

    Returns:
        True if so.
    """
    limit = sam.recomputed_blocks
    return sam.gradient_checkpointing and (limit is None or block < limit)


def run_block(
    block: Callable[[Tensor], Tensor], hidden: Tensor, prompt: Tensor | None, recompute: bool
) -> Tensor:
    """Run an encoder's block on its input plus its prompt (arXiv:2502.16359, eq. 1).

    Args:
        block: From (N, h, w, C_i) to its output.
        hidden: The block's input, (N, h, w, C_i).
        prompt: Added at every position, (N, C_i); None adds nothing.
        recompute: Keep only the block's input for the backward pass.

    Returns:
        The block's output.
    """
    if prompt is not None:
        hidden = hidden + prompt[:, None, None, :]
    if recompute and hidden.requires_grad:
        out: Tensor = checkpoint(block, hidden, use_reentrant=False)
    else:
        out = block(hidden)
    return out


def check_encoder_inputs(
    config: PromptedSamConfig,
    block_dims: list[int],
    pixel_values: Tensor,
    block_prompts: list[Tensor] | None,
) -> None:
    """Refuse images that the position tables do not fit, and too few or too many prompts.

    Args:
        config: Sizes of the model.
        block_dims: Input width of each block.
        pixel_values: Images, (N, 3, S, S).
        block_prompts: One (N, C_i) tensor for every block i, or None.

    Raises:
        ValueError: If the images are of another size, or there is not one prompt for each block.
    """
    height, width = pixel_values.shape[-2:]
    if (height, width) != (config.image_size, config.image_size):
        raise ValueError(
            f"images are {height} x {width}, the model is configured for {config.image_size} x "
            f"{config.image_size}; resize them, or change image_size in the configuration."
        )
    if block_prompts is not None and len(block_prompts) != len(block_dims):
        raise ValueError(
            f"the encoder has {len(block_dims)} blocks, got {len(block_prompts)} block prompts; "
            "give one for each block, of widths `block_dims`."
        )
