"""EVF-SAM: segmentation by text prompts (arXiv:2406.20076)."""

from avseg.models.evf_sam.configuration import EvfSamConfig
from avseg.models.evf_sam.modeling import EvfSamModel
from avseg.models.evf_sam.processing import EvfSamProcessor

__all__ = ["EvfSamConfig", "EvfSamModel", "EvfSamProcessor"]
