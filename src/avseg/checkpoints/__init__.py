"""Checkpoints: finding models by name, and downloading and importing published weights."""

# `loading.py` is not imported here, because it loads torch, which takes seconds.

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
