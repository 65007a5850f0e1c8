"""Models from their folders, and into the package's own."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from avseg.atomic import replace_when_complete
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.delta import merge_tensors, open_weights, read_weights
from avseg.checkpoints.importing import writing
from avseg.checkpoints.model_folder import (
    CARD_FILE,
    CONFIG_FILE,
    TRAINED_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    weights_file,
)
from avseg.errors import CheckpointError, OutputError
from avseg.models.auto import FAMILIES, Family
from avseg.models.model import AvsegConfig, AvsegModel
from avseg.models.processor import ClipProcessor

#: Largest weights that may go into the package, in bytes.
MAX_PACKAGED_BYTES = 30_000_000

#: Where a model's weights are while it is used.
Memory = Literal["normal", "low"]

_AS_WE_WANT: dict[str, Any] = {
    "dtype": torch.float32,
    "ignore_mismatched_sizes": True,  # the model refuses them itself, and says which
}

#: What the libraries raise on damaged files and on options they do not know.
_DAMAGE = (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


def load_checkpoint(
    checkpoint: Checkpoint, memory: Memory = "normal", image_size: int | None = None
) -> tuple[AvsegModel, ClipProcessor]:
    """Load a model and its processor.

    Args:
        checkpoint: Where they are, from `find_checkpoint`.
        memory: "low" leaves float32 weights in their file until they are computed with, and gives
            the memory of frozen ones back after each layer; the results are the same. Such a model
            has to stay on the CPU.
        image_size: Side of the pictures that SAM 2 sees, in pixels, to get by with less work; None
            for the one the model was trained with.

    Returns:
        The model in float32 whatever the file holds, on the CPU and in evaluation mode, and its
        processor.

    Raises:
        CheckpointError: If it is of no family known here, damaged, or its files do not belong
            together, or if it cannot see pictures of that side.
    """
    folder = checkpoint.folder
    family = _family(folder)
    try:
        config: Any = family.config.from_pretrained(folder)
        processor = family.processor.from_pretrained(folder)
    except _DAMAGE as error:
        raise _cannot_load(folder, error) from error
    expected = family.processor.from_config(config)
    if processor != expected:
        raise CheckpointError(
            f"{folder}: the processor is {processor}, the model needs {expected}; save the two "
            "together."
        )
    checkpoint_image_size: int | None = None
    if image_size is not None:
        resized = _with_image_size(config, image_size)
        checkpoint_image_size, config = config.sam_config.image_size, resized
        processor = _refitted(processor, family.processor.from_config(config))
    load = _load_mapped if memory == "low" else _load
    try:
        with _without_progress_bar():
            model = load(family, folder, config)
    except _DAMAGE as error:
        raise _cannot_load(folder, error) from error
    model.checkpoint_image_size = checkpoint_image_size
    return model, processor


def save_packaged(
    model: PreTrainedModel,
    processor: ClipProcessor,
    folder: Path,
    card: str,
    dtype: torch.dtype = torch.float16,
) -> Checkpoint:
    """Save a trained model in the layout of the package.

    Args:
        model: The model; it stays as it is.
        processor: Its processor.
        folder: The folder to make or to replace, such as `packaged/<name>`; it appears when it is
            complete.
        card: The model card, Markdown.
        dtype: Of the weights in the file, torch.float16 or torch.float32; they are loaded as
            float32 in any case.

    Returns:
        The saved model.

    Raises:
        CheckpointError: If the file would be too large for the package, or a value too large for
            the dtype.
        OutputError: If the folder cannot be written.
    """
    weights = {name: _stored(values, dtype) for name, values in model.state_dict().items()}
    infinite = [name for name, values in weights.items() if not values.isfinite().all()]
    if infinite:
        raise CheckpointError(
            f"{len(infinite)} weights are not finite as {dtype}, first {infinite[0]}; "
            "save as torch.float32."
        )
    with replace_when_complete(folder) as partial:
        with _without_progress_bar():
            model.save_pretrained(partial, state_dict=weights)
        processor.save_pretrained(partial)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        (partial / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it readable by its owner only
        size = (partial / WEIGHTS_FILE).stat().st_size
        if size > MAX_PACKAGED_BYTES:
            raise CheckpointError(
                f"{folder}: the weights take {size / 1e6:.1f} MB, at most "
                f"{MAX_PACKAGED_BYTES / 1e6:.0f} MB may go into the package; save as "
                "torch.float16, or make the model smaller."
            )
    return Checkpoint(name=folder.resolve().name, folder=folder)


def _family(folder: Path) -> Family:
    path = folder / CONFIG_FILE
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is no model configuration ({error}); copy the model again."
        ) from error
    if name not in FAMILIES:
        raise CheckpointError(
            f"{path}: model_type is {name!r}, avseg has {', '.join(FAMILIES)}; give a model that "
            "avseg has trained or saved."
        )
    return FAMILIES[name]


def merge_frozen_weights(run: Path, output: Path) -> Checkpoint:
    """Copy the model of a run that keeps what it trained alone, with all weights in one file.

    Args:
        run: Folder of the run.
        output: The folder to make; it appears when it is complete.

    Returns:
        The model.

    Raises:
        CheckpointError: If it is no complete model, or a frozen part is missing or has changed.
        OutputError: If the folder is there already, or cannot be written.
    """
    if output.exists():
        raise OutputError(f"{output}: is there already; choose another folder.")
    model, _ = load_checkpoint(find_checkpoint(run))
    with writing(output, model.state_dict()), replace_when_complete(output) as folder:
        with _without_progress_bar():
            model.save_pretrained(folder)
        for file in run.iterdir():
            if file.is_file() and file.name != TRAINED_FILE:
                shutil.copy2(file, folder)
    return Checkpoint(output.resolve().name, output)


def shapes_of(config: AvsegConfig) -> dict[str, Tensor]:
    """Give names and shapes of a model's weights without making any.

    Args:
        config: Of the model.

    Returns:
        Its state, on the device "meta" but for constants.
    """
    with torch.device("meta"):
        state: dict[str, Tensor] = FAMILIES[config.model_type].model(config).state_dict()
    return state


def _load(family: Family, folder: Path, config: Any) -> AvsegModel:
    weights = weights_file(folder)
    if weights.name == TRAINED_FILE:
        tensors = read_weights(weights, shapes_of(config))
        state = {name: values.clone() for name, values in tensors.items()}
        return family.model.from_pretrained(folder, config=config, state_dict=state, **_AS_WE_WANT)
    return family.model.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, **_AS_WE_WANT
    )


def _load_mapped(family: Family, folder: Path, config: Any) -> AvsegModel:
    pieces = open_weights(weights_file(folder), shapes_of(config))
    model = family.model.from_pretrained(
        folder, config=config, state_dict=merge_tensors(pieces), **_AS_WE_WANT
    )
    if all(values.requires_grad for values in model.parameters()):
        model.requires_grad_(requires_grad=False)  # of a family that only is used
    for piece in pieces:
        piece.release_after_use(model)
    return model


def _refitted(processor: Any, fitting: Any) -> ClipProcessor:
    """Give a processor the options of another; what does not count as one it keeps."""
    options = {each.name: getattr(fitting, each.name) for each in fields(fitting) if each.compare}
    refitted: ClipProcessor = replace(processor, **options)
    return refitted


def _with_image_size(config: Any, image_size: int) -> Any:
    sam_config = getattr(config, "sam_config", None)
    if sam_config is None:
        raise CheckpointError(
            f"image_size {image_size} is for models on SAM 2; this one has none. Leave it out."
        )
    if not isinstance(sam_config, PromptedSam2Config):
        raise CheckpointError(
            f"image_size {image_size} is for models on SAM 2; this one is on SAM, whose position "
            f"tables fit {sam_config.image_size} only. Leave it out."
        )
    try:
        return config.replace(sam_config={"image_size": image_size})
    except StrictDataclassError as error:
        raise CheckpointError(str(error.__cause__ or error)) from error


def _cannot_load(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{folder}: the model cannot be loaded ({error}); copy it again, or save it with this "
        "version of avseg."
    )


def _stored(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype) if values.is_floating_point() else values


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Keep `transformers` from drawing a bar for a moment's work, in the middle of ours."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
