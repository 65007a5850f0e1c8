"""Weights: which model a name means, where it is, what it knows. `loading.py` needs torch."""

from avseg.checkpoints.catalog import CATALOG, DEFAULT_MODEL, Listing, find_checkpoint, list_models
from avseg.checkpoints.model_folder import Checkpoint

__all__ = [
    "CATALOG",
    "DEFAULT_MODEL",
    "Checkpoint",
    "Listing",
    "find_checkpoint",
    "list_models",
]
