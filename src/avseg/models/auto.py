"""Name of a model family to its classes, which `transformers` then finds by that name too."""

from typing import NamedTuple

from transformers import AutoConfig, AutoModel, PreTrainedModel

from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel, Av2tSamProcessor
from avseg.models.config import AvsegConfig


class Family(NamedTuple):
    """The three classes that make a model family."""

    config: type[AvsegConfig]
    model: type[PreTrainedModel]
    processor: type[Av2tSamProcessor]


#: All model families, by the `model_type` their configuration files carry.
FAMILIES: dict[str, Family] = {
    "avseg-av2t-sam": Family(Av2tSamConfig, Av2tSamModel, Av2tSamProcessor),
}

for _name, _family in FAMILIES.items():
    AutoConfig.register(_name, _family.config, exist_ok=True)
    AutoModel.register(_family.config, _family.model, exist_ok=True)
