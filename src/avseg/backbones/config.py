"""The configuration class under all others: an option it does not know is an error."""

from inspect import get_annotations
from typing import Any

from transformers import PreTrainedConfig

#: What `transformers` itself passes to a configuration besides its fields.
_SET_BY_TRANSFORMERS = {
    "attn_implementation",
    "experts_implementation",
    "model_type",
    "name_or_path",
    "output_attentions",
    "torch_dtype",
}


class StrictConfig(PreTrainedConfig):
    """A configuration that refuses options it does not know.

    Raises:
        TypeError: If an option is unknown.
    """

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = {name for name in kwargs if not name.startswith("_")} - _SET_BY_TRANSFORMERS
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(sorted(unknown))}; "
                f"it has {', '.join(sorted(own_options(type(self))))}."
            )
        kwargs.pop("model_type", None)  # a class attribute, written to the JSON for readers
        super().__post_init__(**kwargs)


def own_options(config_class: type[StrictConfig]) -> list[str]:
    """Name the options a configuration class adds to those of `transformers`.

    Args:
        config_class: The configuration class.

    Returns:
        Names of the options, base classes' first.
    """
    names: list[str] = []
    for cls in reversed(config_class.__mro__):
        if issubclass(cls, StrictConfig):
            names += [name for name in get_annotations(cls) if name not in ("model_type", *names)]
    return names
