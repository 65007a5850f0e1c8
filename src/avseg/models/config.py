"""The configuration class under those of the model families."""

from typing import Any, ClassVar, Self

from avseg.backbones.config import StrictConfig


class AvsegConfig(StrictConfig):
    """Configuration of a model family: refuses unknown options, its backbones' included.

    A family names its backbones' configuration classes in `sub_configs_defaults`; where the field
    holds a dictionary, as after loading from JSON, `transformers` builds the class from it.

    Attributes:
        tiny_options: Options of the family's small model, for 128-pixel frames and 16 kHz sound.
    """

    tiny_options: ClassVar[dict[str, Any]]

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        """Give the sizes of the small model.

        Args:
            **changes: Options that differ from the small model's; a backbone's may be given as a
                dictionary of those that change.

        Returns:
            The configuration.
        """
        return cls(**cls.tiny_options).replace(**changes)
