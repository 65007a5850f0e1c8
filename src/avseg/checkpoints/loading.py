"""Loading of models and processors from folders, and saving of models for the package."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel

from avseg.atomic import OwnFolder, replace_when_complete
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.delta import merge_tensors, open_weights, read_weights
from avseg.checkpoints.model_folder import (
    CARD_FILE,
    CONFIG_FILE,
    PARSE_ERRORS,
    TRAINED_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    weights_file,
)
from avseg.checkpoints.saving import (
    explain_weight_write_errors,
    make_readable,
    without_progress_bar,
)
from avseg.errors import CheckpointError, OutputError
from avseg.models.auto import FAMILIES, Family
from avseg.models.model import AvsegConfig, AvsegModel
from avseg.models.processor import ClipProcessor

#: Maximum size of the weights of a packaged model, in bytes.
MAX_PACKAGED_BYTES = 30_000_000

#: "normal" loads the weights to memory; "low" reads each weight from its file when it is used.
Memory = Literal["normal", "low"]

#: Options of transformers' `from_pretrained`.
_LOADING_OPTIONS: dict[str, Any] = {
    "dtype": torch.float32,
    # `AvsegModel.from_pretrained` raises an error for them, with a list of the keys.
    "ignore_mismatched_sizes": True,
}

#: Errors of the libraries on damaged files and on unknown options.
DAMAGE_ERRORS = (*PARSE_ERRORS, SafetensorError, StrictDataclassError)


def load_checkpoint(
    checkpoint: Checkpoint, memory: Memory = "normal", image_size: int | None = None
) -> tuple[AvsegModel, ClipProcessor]:
    """Load a model and its processor.

    Args:
        checkpoint: The saved model, from `find_checkpoint`.
        memory: "low" reads float32 weights from their file when a layer needs them, and releases
            the memory of frozen weights after each layer. The results are the same. Such a model
            has to stay on the CPU.
        image_size: Side of SAM 2's input images, in pixels; a smaller one needs less computation.
            None for the one that the model was trained with.

    Returns:
        The model and its processor. The model is in float32 for any dtype of the file, on the CPU,
        and in evaluation mode.

    Raises:
        CheckpointError: If the family is unknown, the model is damaged, its files do not match each
            other, or the image size is not possible.
    """
    folder = checkpoint.folder
    config: Any = read_config(folder)
    family = FAMILIES[config.model_type]
    try:
        processor = family.processor.from_pretrained(folder)
    except DAMAGE_ERRORS as error:
        raise _cannot_load(folder, error) from error
    # A processor with other options than the model would compute wrong inputs without an error.
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
        processor = _with_options_of(processor, family.processor.from_config(config))
    load = _load_mapped if memory == "low" else _load
    try:
        with without_progress_bar():
            model = load(family, folder, config)
    except DAMAGE_ERRORS as error:
        raise _cannot_load(folder, error) from error
    model.checkpoint_image_size = checkpoint_image_size
    return model, processor


def read_config(folder: Path) -> AvsegConfig:
    """Read the configuration of a saved model.

    Unlike `AutoConfig`, it reads the configurations of this package only, and never asks whether
    code of the folder may be executed.

    Args:
        folder: Folder of the model.

    Returns:
        The configuration.

    Raises:
        CheckpointError: If the family is unknown, or the file is damaged.
    """
    try:
        config: AvsegConfig = _family(folder).config.from_pretrained(folder)
    except DAMAGE_ERRORS as error:
        raise _cannot_load(folder, error) from error
    return config


def save_packaged(
    model: PreTrainedModel,
    processor: ClipProcessor,
    folder: Path,
    card: str,
    dtype: torch.dtype = torch.float16,
) -> Checkpoint:
    """Save a trained model in the layout of the package.

    Args:
        model: The model; it is not changed.
        processor: Its processor.
        folder: The folder to create or to replace, such as `packaged/<name>`; it appears when it
            is complete.
        card: The model card, Markdown.
        dtype: Dtype of the weights in the file, torch.float16 or torch.float32. Loading converts
            them to float32.

    Returns:
        The saved model.

    Raises:
        CheckpointError: If the file would be too large for the package, or a value is too large for
            the dtype.
        OutputError: If the folder has other contents, or cannot be written.
    """
    weights = {name: _to_dtype(values, dtype) for name, values in model.state_dict().items()}
    infinite = [name for name, values in weights.items() if not values.isfinite().all()]
    if infinite:
        raise CheckpointError(
            f"{len(infinite)} weights are not finite as {dtype}, first {infinite[0]}; "
            "save as torch.float32."
        )
    with replace_when_complete(folder, OwnFolder("a packaged model", _is_packaged)) as partial:
        with without_progress_bar():
            model.save_pretrained(partial, state_dict=weights)
        processor.save_pretrained(partial)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        make_readable(partial / WEIGHTS_FILE)
        size = (partial / WEIGHTS_FILE).stat().st_size
        if size > MAX_PACKAGED_BYTES:
            raise CheckpointError(
                f"{folder}: the weights take {size / 1e6:.1f} MB, at most "
                f"{MAX_PACKAGED_BYTES / 1e6:.0f} MB may go into the package; save as "
                "torch.float16, or make the model smaller."
            )
    return Checkpoint(name=folder.resolve().name, folder=folder)


def _is_packaged(folder: Path) -> bool:
    try:
        return bool(_family(folder)) and (folder / CARD_FILE).is_file()
    except CheckpointError:
        return False


def _family(folder: Path) -> Family:
    path = folder / CONFIG_FILE
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except PARSE_ERRORS as error:
        raise CheckpointError(
            f"{path}: is not a model configuration ({error}); copy the model again."
        ) from error
    if not isinstance(name, str) or name not in FAMILIES:
        raise CheckpointError(
            f"{path}: model_type is {name!r}, avseg has {', '.join(FAMILIES)}; give a model that "
            "avseg has trained or saved."
        )
    return FAMILIES[name]


def merge_frozen_weights(run: Path, output: Path) -> Checkpoint:
    """Copy the folder of a run with trained weights only to a folder with all weights in one file.

    Args:
        run: Folder of the run.
        output: The folder to create; it appears when it is complete.

    Returns:
        The model.

    Raises:
        CheckpointError: If the run is not a complete model, or the file of a frozen part is missing
            or has changed.
        OutputError: If the folder exists already, or cannot be written.
    """
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another folder.")
    model, _ = load_checkpoint(find_checkpoint(run))
    with (
        replace_when_complete(output) as folder,
        explain_weight_write_errors(output, model.state_dict()),
    ):
        with without_progress_bar():
            model.save_pretrained(folder)
        for file in run.iterdir():
            if file.is_file() and file.name != TRAINED_FILE:
                shutil.copy2(file, folder)
    return Checkpoint(output.resolve().name, output)


def shapes_of(config: AvsegConfig) -> dict[str, Tensor]:
    """Return the names and shapes of a model's weights without allocating any.

    Args:
        config: Configuration of the model.

    Returns:
        Its state dict, on the device "meta" except for constants.
    """
    with torch.device("meta"):
        state: dict[str, Tensor] = FAMILIES[config.model_type].model(config).state_dict()
    return state


def _load(family: Family, folder: Path, config: Any) -> AvsegModel:
    weights = weights_file(folder)
    if weights.name == TRAINED_FILE:
        tensors = read_weights(weights, shapes_of(config))
        # The tensors are memory-mapped; `clone` copies them to memory.
        state = {name: values.clone() for name, values in tensors.items()}
        return family.model.from_pretrained(
            folder, config=config, state_dict=state, **_LOADING_OPTIONS
        )
    return family.model.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, **_LOADING_OPTIONS
    )


def _load_mapped(family: Family, folder: Path, config: Any) -> AvsegModel:
    opened = open_weights(weights_file(folder), shapes_of(config))
    model = family.model.from_pretrained(
        folder, config=config, state_dict=merge_tensors(opened), **_LOADING_OPTIONS
    )
    if all(values.requires_grad for values in model.parameters()):
        # A family without a list of trainable parameters, such as EVF-SAM: for inference all its
        # parameters are frozen, so that the memory of all of them can be released.
        model.requires_grad_(requires_grad=False)
    for weights in opened:
        weights.release_after_use(model)
    return model


def _with_options_of(processor: Any, fitting: Any) -> ClipProcessor:
    """Copy a processor with the options of another; tokenizers and vocabulary are kept."""
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
        return config.with_image_size(image_size)
    except StrictDataclassError as error:
        raise CheckpointError(str(error.__cause__ or error)) from error


def _cannot_load(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{folder}: the model cannot be loaded ({error}); copy it again, or save it with this "
        "version of avseg."
    )


def _to_dtype(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype) if values.is_floating_point() else values
