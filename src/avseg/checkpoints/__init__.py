"""Weights: which model a name means, where it is, what it knows. `loading.py` needs torch."""

from avseg.checkpoints.catalog import CATALOG, DEFAULT_MODEL, Checkpoint, find_checkpoint

__all__ = ["CATALOG", "DEFAULT_MODEL", "Checkpoint", "find_checkpoint"]
