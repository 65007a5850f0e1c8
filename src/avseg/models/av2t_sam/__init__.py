"""AV2T-SAM: audio and image in the text space of a text-prompted SAM (arXiv:2502.16359)."""

from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
from avseg.models.av2t_sam.modeling import Av2tSam3Model, Av2tSamModel
from avseg.models.av2t_sam.processing import Av2tSam3Processor, Av2tSamProcessor
from avseg.models.av2t_sam.prompting import Projector

__all__ = [
    "Av2tSam3Config",
    "Av2tSam3Model",
    "Av2tSam3Processor",
    "Av2tSamConfig",
    "Av2tSamModel",
    "Av2tSamProcessor",
    "Projector",
]
