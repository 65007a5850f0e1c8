"""AuralSAM2: audio prompts inside SAM 2's mask decoder (arXiv:2506.01015)."""

from avseg.models.auralsam2.configuration import AuralSam2Config
from avseg.models.auralsam2.modeling import AuralSam2Model
from avseg.models.auralsam2.processing import AuralSam2Processor
from avseg.models.auralsam2.text import (
    AuralSam2TextConfig,
    AuralSam2TextModel,
    AuralSam2TextProcessor,
)

__all__ = [
    "AuralSam2Config",
    "AuralSam2Model",
    "AuralSam2Processor",
    "AuralSam2TextConfig",
    "AuralSam2TextModel",
    "AuralSam2TextProcessor",
]
