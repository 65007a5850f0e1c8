"""Building blocks of the model families: base model, configuration, option groups, adapters.

B frames, D width of the features, C_i input width of block i.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from avseg.backbones.config import StrictConfig, own_options
from avseg.errors import CheckpointError


class AvsegModel(PreTrainedModel):
    """Base of the models of all families; it loads only weights that fit exactly.

    Attributes:
        trainable_prefixes: Prefixes of the names of the parameters that train; None for all.
        product_dtype: Dtype of matrix products, convolutions and attention, torch.float16 or
            torch.bfloat16; None for the dtype of the weights. The weights keep their dtype, and so
            do the operations that need its precision: norms, residual sums, spectrograms.
        frames_are_fused: Whether the masks of a frame depend on the audio of other frames in the
            same forward pass. If so, the frames of a video are never passed one at a time.
        checkpoint_image_size: Side of SAM 2's square input in the checkpoint, in pixels, if the
            user chose another image size at loading; else None.
    """

    trainable_prefixes: ClassVar[tuple[str, ...] | None] = None
    product_dtype: torch.dtype | None = None
    frames_are_fused: ClassVar[bool] = False
    checkpoint_image_size: int | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, under autocast to `product_dtype` if it is set."""
        # `nn.Module.__call__` and not `forward`, so that hooks run in the same dtype.
        if self.product_dtype is None:
            return super().__call__(*args, **kwargs)
        with torch.autocast(self.device.type, self.product_dtype):
            return super().__call__(*args, **kwargs)

    def predict_masks(self, **inputs: Any) -> Any:
        """Segment the sounding objects, without steps that the masks do not need, such as names.

        Args:
            **inputs: As for `forward`.

        Returns:
            Outputs with the same masks as those of `forward`.
        """
        return self(**inputs)

    @classmethod
    def from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Load a saved model, or raise an error if its weights do not fit exactly.

        Args:
            path: Folder or hub repository; with `state_dict`, the name of the weights in errors.
            *args: As for `transformers`.
            **kwargs: As for `transformers`.

        Returns:
            The model, in evaluation mode.

        Raises:
            CheckpointError: If weights are missing, unknown or of another shape.
        """
        folder = None if "state_dict" in kwargs else path
        loaded: Any = super().from_pretrained(folder, *args, output_loading_info=True, **kwargs)
        model, info = loaded
        # `transformers` only warns about such keys and would keep random weights for them.
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
        # Loading creates new parameters, which are all trainable.
        model._freeze()
        return model

    def _freeze(self) -> None:
        """Freeze the parameters outside of `trainable_prefixes`; without prefixes, freeze none."""
        if self.trainable_prefixes is None:
            return
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(self.trainable_prefixes))
        # A family overrides `train` so that its frozen backbones stay in evaluation mode.
        self.train(self.training)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Preserve the initialisation by the constructors: this hook of `transformers` is empty."""


class AvsegConfig(StrictConfig):
    """Base of the configurations of all families; an unknown option is an error.

    A family lists the configuration classes of its backbones in `sub_configs_defaults`. If the
    value of such a field is a dictionary, for example from a JSON file, `transformers` builds the
    configuration of the backbone from it.

    Attributes:
        tiny_options: Options of the small model of the family, for frames of 128 x 128 pixels and
            audio at 16 kHz.
    """

    tiny_options: ClassVar[dict[str, Any]]

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        """Return the configuration of the small model.

        Args:
            **changes: Options that differ from those of the small model. For a backbone, a
                dictionary with only the changed options is enough.

        Returns:
            The configuration.
        """
        # `replace` merges a dictionary of a backbone's options with those of the small model.
        return cls(**cls.tiny_options).replace(**changes)

    def with_image_size(self, image_size: int) -> Self:
        """Copy the configuration with another side of SAM 2's input.

        Args:
            image_size: Side of the images, in pixels.

        Returns:
            The configuration.
        """
        return self.replace(sam_config={"image_size": image_size})


class OptionGroup(StrictConfig):
    """A named group of options inside a model configuration, such as the weights of its losses.

    It does not configure a network. So its dictionary contains neither a dtype nor other options of
    `transformers`.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the options of this group, its `model_type` and the version of `transformers`."""
        # `to_dict` of the model deletes the version from this dictionary, and fails if it is
        # missing. All other options of `transformers`, such as dtype and label names, are left out.
        kept = {*own_options(type(self)), "model_type", "transformers_version"}
        return {name: value for name, value in super().to_dict().items() if name in kept}


class BlockAdapters(nn.Module):
    """One small network for each block of the image encoder (SAMA-AVS, arXiv:2305.11019).

    If all blocks have the same width, as in SAM 1, they share the last layer, as in the released
    code of SAMA-AVS and of AV2T-SAM (arXiv:2502.16359, 3.4).

    Args:
        in_dim: Width D of the features.
        hidden_dim: Hidden width of each network.
        block_dims: Input width of each block.
    """

    def __init__(self, in_dim: int, hidden_dim: int, block_dims: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.GELU()) for _ in block_dims
        )
        # The stages of SAM 2 have different widths, so each network needs its own last layer.
        self.shared: nn.Linear | None = None
        if len(set(block_dims)) == 1:
            self.shared = _zero_linear(hidden_dim, block_dims[0])
            return
        for block, dim in zip(self.blocks, block_dims, strict=True):
            block.append(_zero_linear(hidden_dim, dim))  # type: ignore[operator]

    def forward(self, features: Tensor) -> list[Tensor]:
        """Compute the vector that is added to the input of each block.

        Args:
            features: Features of each frame, (B, D).

        Returns:
            One (B, C_i) tensor for each block i.
        """
        vectors = [block(features) for block in self.blocks]
        return vectors if self.shared is None else [self.shared(vector) for vector in vectors]


def _zero_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """Build a last layer with output 0, so that training starts from the pretrained encoder."""
    linear = nn.Linear(in_dim, out_dim)
    # With weights of 0 the earlier layers get no gradient in the first step, but this layer does.
    # So they get one from the second step on.
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
