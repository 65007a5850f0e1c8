"""The configuration class under those of the model families."""

from avseg.backbones.config import StrictConfig


class AvsegConfig(StrictConfig):
    """Configuration of a model family: refuses unknown options, its backbones' included.

    A family names its backbones' configuration classes in `sub_configs_defaults`; where the field
    holds a dictionary, as after loading from JSON, `transformers` builds the class from it.
    """
