"""Registry of the model families, also for the `Auto` classes of `transformers`."""

from typing import NamedTuple

from transformers import AutoConfig, AutoModel

from avseg.models.auralsam2 import (
    AuralSam2Config,
    AuralSam2Model,
    AuralSam2Processor,
    AuralSam2TextConfig,
    AuralSam2TextModel,
    AuralSam2TextProcessor,
)
from avseg.models.av2t_sam import (
    Av2tSam3Config,
    Av2tSam3Model,
    Av2tSam3Processor,
    Av2tSamConfig,
    Av2tSamModel,
    Av2tSamProcessor,
)
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel, EvfSamProcessor
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.model import AvsegConfig, AvsegModel
from avseg.models.processor import ClipProcessor
from avseg.models.sam3 import Sam3TextConfig, Sam3TextModel, Sam3TextProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tavis import TavisConfig, TavisModel, TavisProcessor
from avseg.models.tpavi import TpaviConfig, TpaviModel


class Family(NamedTuple):
    """The three classes of a model family."""

    config: type[AvsegConfig]
    model: type[AvsegModel]
    processor: type[ClipProcessor]


#: All model families, by the `model_type` in their configuration files.
FAMILIES: dict[str, Family] = {
    family.config.model_type: family
    for family in (
        Family(AuralSam2Config, AuralSam2Model, AuralSam2Processor),
        Family(AuralSam2TextConfig, AuralSam2TextModel, AuralSam2TextProcessor),
        Family(Av2tSamConfig, Av2tSamModel, Av2tSamProcessor),
        Family(Av2tSam3Config, Av2tSam3Model, Av2tSam3Processor),
        Family(CascadeConfig, CascadeModel, CascadeProcessor),
        Family(EvfSamConfig, EvfSamModel, EvfSamProcessor),
        Family(Sam3TextConfig, Sam3TextModel, Sam3TextProcessor),
        Family(SamaConfig, SamaModel, FrameAudioProcessor),
        Family(TpaviConfig, TpaviModel, FrameAudioProcessor),
        Family(TavisConfig, TavisModel, TavisProcessor),
    )
}

# `exist_ok` because a reload of this module, as in a notebook, registers the same names again.
for _name, _family in FAMILIES.items():
    AutoConfig.register(_name, _family.config, exist_ok=True)
    AutoModel.register(_family.config, _family.model, exist_ok=True)
