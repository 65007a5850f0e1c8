"""Residuals inside SAM 2's mask decoder (AuralSAM2, arXiv:2506.01015): a prompt for each layer.

N images, M prompts, E prompt width, h side of the image embedding's grid, L layers of the mask
decoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, cat
from transformers.models.sam2.modeling_sam2 import Sam2MaskDecoder, Sam2TwoWayTransformer

#: Tokens of the mask decoder before those of its masks: the object score and the predicted IoU.
_TOKENS_BEFORE_MASKS = 2


@dataclass(frozen=True)
class LayerResidual:
    """Residual that is added before one layer of the mask decoder.

    Args:
        image: Added to the image embedding, (M, E, h, h).
        masks: Added to each of the four mask tokens, (M, E).
    """

    image: Tensor
    masks: Tensor


def use_residuals(decoder: Sam2MaskDecoder) -> None:
    """Replace the decoder's transformer by one that accepts residuals.

    Args:
        decoder: The mask decoder; it is changed in place, its weights and their names are not.
    """
    decoder.transformer.__class__ = _ResidualTransformer


class _ResidualTransformer(Sam2TwoWayTransformer):
    """Two-way transformer that adds a residual before each layer; see `use_residuals`."""

    def forward(
        self,
        point_embeddings: Tensor,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        attention_similarity: Any,
        target_embedding: Tensor | None = None,
        residuals: Sequence[LayerResidual] | None = None,
        **_: object,
    ) -> tuple[Tensor, Tensor]:
        """Exchange features of tokens (M, 1, tokens, E) and of the image (M, E, h, h).

        `residuals` has one entry for each of the L layers, and one for the last attention. Returns
        the tokens, and the image as (M, 1, h * h, E).
        """
        if residuals is None:
            plain: Any = super().forward(
                point_embeddings,
                image_embeddings,
                image_positional_embeddings,
                attention_similarity,
                target_embedding,
            )
            tokens, image = plain
            return tokens, image
        keys = _as_rows(image_embeddings)
        key_positions = _as_rows(image_positional_embeddings)
        # SAM 2 also uses the first tokens as the position code of the tokens, in every layer. In
        # the published code the first residual is added to that tensor in place, so the position
        # code contains it too. The published weights were trained so.
        positions = queries = _add_to_masks(point_embeddings, residuals[0])
        for number, layer in enumerate(self.layers):
            if number:
                queries = _add_to_masks(queries, residuals[number])
            queries, keys, _ = layer(
                queries=queries,
                keys=keys + _as_rows(residuals[number].image),
                query_point_embedding=positions,
                key_point_embedding=key_positions,
                attention_similarity=attention_similarity,
            )
        queries = _add_to_masks(queries, residuals[-1])
        keys = keys + _as_rows(residuals[-1].image)
        gathered, _ = self.final_attn_token_to_image(
            query=queries + positions, key=keys + key_positions, value=keys
        )
        return self.layer_norm_final_attn(queries + gathered), keys


def _as_rows(maps: Tensor) -> Tensor:
    """Reshape maps (M, E, h, h) to the layout of the transformer, (M, 1, h * h, E)."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)


def _add_to_masks(tokens: Tensor, residual: LayerResidual) -> Tensor:
    """Add a residual to the mask tokens of (M, 1, tokens, E); the other tokens stay the same."""
    others, masks = tokens.split([_TOKENS_BEFORE_MASKS, tokens.shape[2] - _TOKENS_BEFORE_MASKS], 2)
    return cat([others, masks + residual.masks[:, None, None, :]], dim=2)
