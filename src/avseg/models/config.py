"""The configuration class under those of the model families."""

from typing import Any

from avseg.backbones.config import StrictConfig


class AvsegConfig(StrictConfig):
    """Configuration of a model family: refuses unknown options, its backbones' included.

    A family names its backbones' configuration classes in `sub_configs_defaults`; where the field
    holds a dictionary, as after loading from JSON, `transformers` builds the class from it.
    """

    def replace(self, **changes: Any) -> "AvsegConfig":
        """Copy with some options changed.

        Args:
            **changes: Options of this configuration; a backbone's options may be given as a
                dictionary of those that change, or whole if it names another `model_type`.

        Returns:
            A new configuration of the same class.
        """
        options = self.to_dict()
        for name, value in changes.items():
            is_partial = (
                name in self.sub_configs_defaults
                and isinstance(value, dict)
                and value.get("model_type") in (None, options[name]["model_type"])
            )
            options[name] = options[name] | value if is_partial else value
        options.pop("transformers_version", None)
        return type(self)(**options)
