"""Models from their folders, and into the package's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from avseg.checkpoints.layout import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, Checkpoint
from avseg.errors import CheckpointError
from avseg.export.partial import replace_when_complete
from avseg.models.auto import FAMILIES, Family
from avseg.models.model import AvsegModel
from avseg.models.processor import ClipProcessor

#: Largest weights that may go into the package, in bytes.
MAX_PACKAGED_BYTES = 30_000_000

#: What the libraries raise on damaged files and on options they do not know.
_DAMAGE = (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


def load_checkpoint(checkpoint: Checkpoint) -> tuple[AvsegModel, ClipProcessor]:
    """Load a model and its processor.

    Args:
        checkpoint: Where they are, from `find_checkpoint`.

    Returns:
        The model in float32 whatever the file holds, on the CPU and in evaluation mode, and its
        processor.

    Raises:
        CheckpointError: If it is of no family known here, damaged, or its files do not belong
            together.
    """
    folder = checkpoint.folder
    family = _family(folder)
    try:
        with _without_progress_bar():
            model = family.model.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # the model refuses them itself, and says which
            )
        processor = family.processor.from_pretrained(folder)
    except _DAMAGE as error:
        raise CheckpointError(
            f"{folder}: the model cannot be loaded ({error}); copy it again, or save it with this "
            "version of avseg."
        ) from error
    expected = family.processor.from_config(model.config)
    if processor != expected:
        raise CheckpointError(
            f"{folder}: the processor is {processor}, the model needs {expected}; save the two "
            "together."
        )
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
