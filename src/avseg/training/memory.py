"""Options that save memory in training: recomputed activations, weights that stay on disk."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avseg.errors import TrainingError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MemoryOptions:
    """A recipe's `memory` section.

    Attributes:
        recomputed_blocks: Number of blocks of the image encoder, counted from the first, that
            compute their activations again in the backward pass instead of keeping them. (The
            trainer's `gradient_checkpointing: true` does the same with all blocks.)
        frozen_in_file: Whether frozen weights from a safetensors file stay on disk: the file is
            memory-mapped, and its pages are released after each layer. For training on a CPU.
    """

    recomputed_blocks: int = 0
    frozen_in_file: bool = False


def recompute_blocks(model: "nn.Module", count: int) -> None:
    """Recompute the first blocks of a model's image encoder in the backward pass.

    Args:
        model: The model; changed in place.
        count: Number of blocks.

    Raises:
        TrainingError: If the model has no image encoder with this option.
    """
    encoders = [module for module in model.modules() if hasattr(module, "recomputed_blocks")]
    if not encoders:
        raise TrainingError(
            f"memory.recomputed_blocks: {type(model).__name__} has no image encoder that "
            "supports it; leave the option out."
        )
    for encoder in encoders:
        # `vars`, because type checkers assume that attributes of a module are tensors or modules.
        vars(encoder).update(gradient_checkpointing=True, recomputed_blocks=count)
