"""Training in less memory: what to compute again, and which weights to leave in their file."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avseg.errors import TrainingError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MemoryOptions:
    """A recipe's `memory` section.

    Attributes:
        recomputed_blocks: How many blocks of the image encoder, from the first on, do not keep
            their activations but compute them again in the backward pass. (The trainer's
            `gradient_checkpointing: true` does so with all blocks.)
        frozen_in_file: Whether frozen weights that start from a safetensors file stay there, mapped
            into memory, and are given back after each layer. For training on a CPU.
    """

    recomputed_blocks: int = 0
    frozen_in_file: bool = False


def recompute_blocks(model: "nn.Module", count: int) -> None:
    """Let a model's image encoder compute its first blocks again in the backward pass.

    Args:
        model: The model; changed in place.
        count: How many blocks.

    Raises:
        TrainingError: If it has no image encoder that can.
    """
    encoders = [module for module in model.modules() if hasattr(module, "recomputed_blocks")]
    if not encoders:
        raise TrainingError(
            f"memory.recomputed_blocks: {type(model).__name__} has no image encoder of SAM; leave "
            "it out."
        )
    for encoder in encoders:
        vars(encoder).update(gradient_checkpointing=True, recomputed_blocks=count)
