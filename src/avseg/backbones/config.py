"""Base class of all configurations, which rejects unknown options."""

from collections.abc import Mapping, Sequence
from inspect import get_annotations
from typing import Any, ClassVar, Self, get_origin

from transformers import PreTrainedConfig

#: Arguments that `transformers` itself passes to a configuration besides its fields.
_SET_BY_TRANSFORMERS = {
    "attn_implementation",
    "experts_implementation",
    "model_type",
    "name_or_path",
    "output_attentions",
    "torch_dtype",
}

#: Options of `transformers` that can name code on the Hub ("owner/kernel"), to be downloaded and
#: executed. A configuration is data that others may have written, so it must not choose code.
_NAMES_OF_CODE = (
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
    *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
)


#: Parts of the names of options that count blocks or layers.
_COUNTS = ("blocks", "depths", "layers")
#: Bounds of these, and of all integers, far above any published network. A damaged file may have
#: any number: building its blocks would take hours, or torch would fail on the size.
_MAX_COUNT, _MAX_INTEGER = 1_000, 2**31 - 1


class StrictConfig(PreTrainedConfig):
    """Configuration that raises an error for an unknown option.

    Raises:
        TypeError: If an option is unknown.
        ValueError: If an option names code on the Hub, or is a number that no network can have.
    """

    def __post_init__(self, **kwargs: Any) -> None:
        # Names with an underscore are internal entries of `transformers`, such as `_commit_hash`.
        unknown = {name for name in kwargs if not name.startswith("_")} - _SET_BY_TRANSFORMERS
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(sorted(unknown))}"
                f"{self._group_hint(unknown)}; "
                f"it has {', '.join(sorted(own_options(type(self))))}."
            )
        for name in _NAMES_OF_CODE:
            # `transformers` also accepts a dictionary with a name for each part of the model.
            if "/" in str(kwargs.get(name)):
                raise ValueError(
                    f"{name} is {kwargs[name]!r}, which names code on the Hub; remove this option."
                )
        # A class attribute; a JSON file contains it so that a reader finds the class.
        kwargs.pop("model_type", None)
        super().__post_init__(**kwargs)
        for name, value in options_of(self).items():
            _check_integers(name, value)

    def _group_hint(self, unknown: set[str]) -> str:
        """Return a hint at the nested configurations that have the unknown options, or ""."""
        places = [
            f"{group}.{name}"
            for group, spec in self.sub_configs_defaults.items()
            for name in sorted(unknown & set(own_options(spec.config_class)))
        ]
        return f" (did you mean {', '.join(places)}?)" if places else ""

    def replace(self, **changes: Any) -> Self:
        """Copy the configuration with some options changed.

        Args:
            **changes: Options of this configuration. A backbone's options may be a dictionary of
                the changed ones, or of all options if it has another `model_type`.

        Returns:
            A new configuration of the same class.
        """
        options = self.to_dict()
        for name, value in changes.items():
            # A dictionary with another `model_type` describes another class, so its options cannot
            # be merged with the present ones.
            is_partial = (
                name in self.sub_configs_defaults
                and isinstance(value, dict)
                and value.get("model_type") in (None, options[name]["model_type"])
            )
            # The nested configuration merges its own nested configurations in the same way.
            options[name] = _changed(getattr(self, name), value) if is_partial else value
        # `to_dict` adds the version, which is not an option.
        options.pop("transformers_version", None)
        return type(self)(**options)


def _check_integers(name: str, value: Any) -> None:
    """Raise an error if an option, or an entry of a list, is an impossible number."""
    if isinstance(value, (list, tuple)):
        for entry in value:
            _check_integers(name, entry)
    elif isinstance(value, int):
        most = _MAX_COUNT if any(part in name for part in _COUNTS) else _MAX_INTEGER
        if abs(value) > most:
            raise ValueError(f"{name} must be at most {most}, got {value}.")


def _changed(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """Copy a nested configuration, of this package or of `transformers`, with changed options."""
    if isinstance(config, StrictConfig):
        return config.replace(**changes)
    return type(config)(**_merge(type(config).__name__, config.to_dict(), changes))


def _merge(name: str, options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into options; raise a TypeError for an unknown one.

    `transformers` would accept an unknown option and ignore it.
    """
    unknown = changes.keys() - options.keys()
    if unknown:
        raise TypeError(
            f"{name} has no option {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(options))}."
        )
    merged = dict(options)
    for option, value in changes.items():
        old = options[option]
        is_nested = isinstance(old, dict) and isinstance(value, dict)
        merged[option] = _merge(f"{name}.{option}", old, value) if is_nested else value
    return merged


def config_of(
    options: StrictConfig | Mapping[str, Any] | None,
    classes: Sequence[type[StrictConfig]],
    model: str,
) -> Any:
    """Build a configuration from options, if several classes are possible.

    Args:
        options: A configuration, or a dictionary of its options. Without a `model_type` they are
            options of the first class. None for the defaults of the first class.
        classes: The possible classes.
        model: Name of the configured model, for the error message.

    Returns:
        The configuration, of one of the classes.

    Raises:
        ValueError: If `model_type` names none of the classes.
    """
    if isinstance(options, tuple(classes)):
        return options
    named: dict[str, Any] = dict(options or {})
    model_type = named.get("model_type", classes[0].model_type)
    for config_class in classes:
        if model_type == config_class.model_type:
            return config_class(**named)
    names = " or ".join(sorted(repr(config_class.model_type) for config_class in classes))
    raise ValueError(f"model_type of {model} must be {names}, got {model_type!r}.")


def own_options(config_class: type[StrictConfig]) -> list[str]:
    """List the options that a configuration class adds to those of `transformers`.

    Args:
        config_class: The configuration class.

    Returns:
        Names of the options, those of base classes first.
    """
    names: list[str] = []
    # The annotations of each class by itself, without those of `PreTrainedConfig`.
    for cls in reversed(config_class.__mro__):
        if issubclass(cls, StrictConfig):
            own = [name for name, kind in get_annotations(cls).items() if not _is_shared(kind)]
            names += [name for name in own if name not in ("model_type", *names)]
    return names


def _is_shared(kind: Any) -> bool:
    """Return whether an annotation belongs to a class attribute (`ClassVar`)."""
    return get_origin(kind) is ClassVar


def options_of(config: StrictConfig) -> dict[str, Any]:
    """Return the options of a configuration, without those that `transformers` adds.

    Args:
        config: The configuration.

    Returns:
        The values by the names of the options.
    """
    return {name: getattr(config, name) for name in own_options(type(config))}
