"""SAMA-AVS: a frozen SAM with audio adapters in its image encoder (arXiv:2305.11019)."""

from avseg.models.sama.configuration import SamaConfig
from avseg.models.sama.modeling import SamaModel

__all__ = ["SamaConfig", "SamaModel"]
