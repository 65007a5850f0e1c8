"""The model class under those of the model families."""

from typing import Any, ClassVar, Self

import torch
from torch import nn
from transformers import PreTrainedModel

from avseg.backbones.config import StrictConfig, own_options
from avseg.errors import CheckpointError


class AvsegModel(PreTrainedModel):
    """A model of a family: loads weights that fit it exactly, and no others.

    Attributes:
        trainable_prefixes: Prefixes of the names of the parameters that train; None for all.
        product_dtype: What matrix products, convolutions and attention are computed in,
            torch.float16 or torch.bfloat16; None for the dtype of the weights. The weights stay as
            they are, and so does what needs their precision: norms, sums of blocks, spectrograms.
        checkpoint_image_size: Side of SAM 2's square input in the checkpoint, in pixels, if the
            user chose an image size at loading; else None.
    """

    trainable_prefixes: ClassVar[tuple[str, ...] | None] = None
    product_dtype: torch.dtype | None = None
    checkpoint_image_size: int | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute, in `product_dtype` if there is one."""
        if self.product_dtype is None:
            return super().__call__(*args, **kwargs)
        with torch.autocast(self.device.type, self.product_dtype):
            return super().__call__(*args, **kwargs)

    def predict_masks(self, **inputs: Any) -> Any:
        """Segment what sounds, and leave undone what no mask needs, such as names.

        Args:
            **inputs: As for `forward`.

        Returns:
            Outputs with the same masks as those of `forward`.
        """
        return self(**inputs)

    @classmethod
    def from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Load a saved model, and refuse weights that do not fit it exactly.

        Args:
            path: Folder or hub repository; what errors call the weights if they are given as
                `state_dict`.
            *args: As for `transformers`.
            **kwargs: As for `transformers`.

        Returns:
            The model, in evaluation mode.

        Raises:
            CheckpointError: If keys are missing, unknown or of another shape.
        """
        source = None if "state_dict" in kwargs else path
        loaded: Any = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        model, info = loaded
        wrong = {kind: sorted(map(str, keys)) for kind, keys in info.items() if keys}
        if wrong:
            summary = "; ".join(
                f"{len(keys)} {kind.replace('_', ' ')}, first {keys[0]}"
                for kind, keys in wrong.items()
            )
            raise CheckpointError(
                f"{path}: the weights do not fit {cls.__name__}: {summary}. "
                "Load a folder that its save_pretrained wrote."
            )
        model._freeze()  # loading makes new parameters, which all train
        return model

    def _freeze(self) -> None:
        """Set `requires_grad` on the trainable parameters only; change nothing without prefixes."""
        if self.trainable_prefixes is None:
            return
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(self.trainable_prefixes))
        self.train(self.training)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Leave modules as their constructors initialise them; backbones of transformers differ."""


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


class OptionGroup(StrictConfig):
    """A named group of options inside a model configuration, such as the weights of its losses.

    It is not the configuration of a network, so its dictionary has no dtype and no other option of
    `transformers`.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the options of this group, its `model_type` and the version of `transformers`."""
        # The dictionary of the whole model removes the version again, and fails without it.
        kept = {*own_options(type(self)), "model_type", "transformers_version"}
        return {name: value for name, value in super().to_dict().items() if name in kept}
