"""Checkpoints: models by name, published weights and their import. `loading.py` needs torch."""

from avseg.checkpoints.catalog import Listing, find_checkpoint, find_listing, list_models
from avseg.checkpoints.known_models import DEFAULT_MODEL, PACKAGED_MODELS
from avseg.checkpoints.model_folder import Checkpoint

__all__ = [
    "DEFAULT_MODEL",
    "PACKAGED_MODELS",
    "Checkpoint",
    "Listing",
    "find_checkpoint",
    "find_listing",
    "list_models",
]
