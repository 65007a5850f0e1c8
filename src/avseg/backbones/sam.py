"""Interface of SAM 1 and SAM 2: image features, mask predictions, and shared encoder code.

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

#: Mask logit of every pixel if the object is absent, as in SAM 2. It is finite: resizing -inf would
#: give NaN.
NO_OBJECT_LOGIT = -1024.0


@dataclass(frozen=True)
class ImageFeatures:
    """Features of N images, with the index of each prompt's image for M prompts.

    Args:
        levels: The image embedding, (N, E, h, h). SAM 2 adds levels of twice and four times its
            resolution, (N, E, 2h, 2h) and (N, E, 4h, 4h).
        image_index: Index of each prompt's image, (M,) int64; None for one prompt for each image,
            in order.
        conditioned: Image embedding of each prompt, conditioned on its memory, (M, E, h, h). It is
            used instead of the embedding of the image. None without a memory.
    """

    levels: tuple[Tensor, ...]
    image_index: Tensor | None = None
    conditioned: Tensor | None = None

    @property
    def embeddings(self) -> Tensor:
        """Image embedding of each image, (N, E, h, h)."""
        return self.levels[0]

    def repeat(self, index: Tensor) -> "ImageFeatures":
        """Assign images to prompts by index, without copying their features.

        Args:
            index: Index of each prompt's image, (M,) int64.

        Returns:
            The same features for M prompts.
        """
        # Indices are composed: features that were repeated before may be repeated again.
        before = self.image_index
        return ImageFeatures(
            self.levels,
            index if before is None else before[index],
            None if self.conditioned is None else self.conditioned[index],
        )

    @property
    def prompt_embeddings(self) -> Tensor:
        """Image embedding of each prompt, (M, E, h, h)."""
        return self.per_prompt(self.embeddings) if self.conditioned is None else self.conditioned

    def per_prompt(self, level: Tensor) -> Tensor:
        """Repeat values of each image for its prompts, (N, ...) to (M, ...)."""
        return level if self.image_index is None else level[self.image_index]


@dataclass(frozen=True)
class MaskPrediction:
    """Output of a mask decoder for M prompts.

    Args:
        mask_logits: K masks for each prompt, before the sigmoid, (M, K, m, m), K = 3 or 1.
        iou_predictions: Predicted IoU of each mask, (M, K) in [0, 1].
        object_score_logits: Presence of the object, before the sigmoid, (M, 1); None for SAM 1,
            which does not predict it.
        resized_to: Side to which `best` resizes the masks, in pixels; None for masks that are not
            resized.
        mask_tokens: The decoder's output token of each mask, (M, K, E); None for SAM 1, whose
            decoder does not return them.
    """

    mask_logits: Tensor
    iou_predictions: Tensor
    object_score_logits: Tensor | None = None
    resized_to: int | None = None
    mask_tokens: Tensor | None = None

    def best(self, suppress_absent: bool = False) -> tuple[Tensor, Tensor]:
        """Select the mask with the highest predicted IoU of each prompt.

        Args:
            suppress_absent: Whether the mask is emptied if the object score predicts that the
                object is absent, as in SAM 2 (arXiv:2408.00714, appendix D).

        Returns:
            Mask logits, (M, m, m) or (M, resized_to, resized_to), and predicted IoU (M,).
        """
        rows, best = self._best_index()
        logits = self.mask_logits[rows, best]
        if self.resized_to is not None:
            # Logits, not probabilities, are interpolated, as in the published code.
            side = (self.resized_to, self.resized_to)
            logits = F.interpolate(logits.unsqueeze(1), side, mode="bilinear").squeeze(1)
        if suppress_absent and self.object_score_logits is not None:
            is_absent = self.object_score_logits <= 0  # (M, 1)
            logits = logits.masked_fill(is_absent.unsqueeze(-1), NO_OBJECT_LOGIT)
        return logits, self.iou_predictions[rows, best]

    def best_tokens(self) -> Tensor:
        """Select the token of the mask that `best` returns, (M, E); for SAM 2 only."""
        if self.mask_tokens is None:
            raise TypeError("SAM 1's decoder returns no mask tokens; use SAM 2.")
        return self.mask_tokens[self._best_index()]

    def _best_index(self) -> tuple[Tensor, Tensor]:
        best = self.iou_predictions.argmax(dim=1)  # (M,)
        return torch.arange(len(best), device=best.device), best


class PromptedSamConfig(Protocol):
    """Sizes that the configurations of SAM 1 and SAM 2 have in common."""

    image_size: int
    prompt_dim: int

    @property
    def embedding_stride(self) -> int:
        """Stride of the image embedding's grid, in pixels."""
        ...


class RecomputedBlocks(Protocol):
    """Image encoder whose blocks can recompute their activations in the backward pass."""

    #: Whether activations of blocks are recomputed in the backward pass instead of stored.
    gradient_checkpointing: bool
    #: Number of recomputed blocks, from the first on; None for all.
    recomputed_blocks: int | None


class PromptedSam(RecomputedBlocks, Protocol):
    """SAM with a prompt vector for each encoder block, and embeddings as mask prompts."""

    @property
    def config(self) -> PromptedSamConfig:
        """Sizes of the model."""
        ...

    @property
    def image_encoder(self) -> nn.Module:
        """The image encoder, which AV2T-SAM keeps frozen."""
        ...

    @property
    def block_dims(self) -> list[int]:
        """Input width C_i of every encoder block."""
        ...

    def encode_images(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> ImageFeatures:
        """Encode images; a prompt vector is added to each block's input at every position.

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
            features: Features of the images, with the index of each prompt's image.
            sparse_prompt_embeddings: Prompt tokens, (M, P, E).
            multimask: Whether three masks are predicted for an ambiguous prompt, or one.

        Returns:
            The masks and their predicted quality.
        """
        ...


def is_recomputed(encoder: RecomputedBlocks, block: int) -> bool:
    """Return whether a block's activations are recomputed in the backward pass.

    Args:
        encoder: The image encoder.
        block: Index of the block.

    Returns:
        True if they are recomputed.
    """
    limit = encoder.recomputed_blocks
    return encoder.gradient_checkpointing and (limit is None or block < limit)


def run_block(
    block: Callable[[Tensor], Tensor], hidden: Tensor, prompt: Tensor | None, recompute: bool
) -> Tensor:
    """Run an encoder block on its input plus its prompt (arXiv:2502.16359, eq. 1).

    Args:
        block: The block, from (N, h, w, C_i) to its output.
        hidden: Input of the block, (N, h, w, C_i).
        prompt: Vector added at every position, (N, C_i); None adds nothing.
        recompute: Whether only the block's input is stored for the backward pass.

    Returns:
        Output of the block.
    """
    if prompt is not None:
        hidden = hidden + prompt[:, None, None, :]
    # The input of the first blocks needs no gradient if no earlier block has a trainable prompt;
    # then autograd stores no activations, and recomputing would only cost time.
    if recompute and hidden.requires_grad:
        out: Tensor = checkpoint(block, hidden, use_reentrant=False)
    else:
        out = block(hidden)
    return out


def check_encoder_inputs(
    image_size: int,
    block_dims: list[int],
    pixel_values: Tensor,
    block_prompts: list[Tensor] | None,
) -> None:
    """Validate the size of the images and the number of block prompts.

    Args:
        image_size: Side of the images, in pixels.
        block_dims: Input width of each block.
        pixel_values: Images, (N, 3, S, S).
        block_prompts: One (N, C_i) tensor for every block i, or None.

    Raises:
        ValueError: If the images are of another size, or there is not one prompt for each block.
    """
    height, width = pixel_values.shape[-2:]
    if (height, width) != (image_size, image_size):
        raise ValueError(
            f"images are {height} x {width}, the model is configured for {image_size} x "
            f"{image_size}; resize them, or change image_size in the configuration."
        )
    if block_prompts is not None and len(block_prompts) != len(block_dims):
        raise ValueError(
            f"the encoder has {len(block_dims)} blocks, got {len(block_prompts)} block prompts; "
            "give one for each block, of widths `block_dims`."
        )
