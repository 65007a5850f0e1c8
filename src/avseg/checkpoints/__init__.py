"""Weights: which model a name means, where it is, what it knows. `loading.py` needs torch."""

from avseg.checkpoints.catalog import (
    DEFAULT_MODEL,
    PACKAGED_MODELS,
    Listing,
    find_checkpoint,
    list_models,
)
from avseg.checkpoints.model_folder import Checkpoint

__all__ = [
    "DEFAULT_MODEL",
    "PACKAGED_MODELS",
    "Checkpoint",
    "Listing",
    "find_checkpoint",
    "list_models",
]
