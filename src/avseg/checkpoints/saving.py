"""Writing of weight files with usual file permissions, clear errors and no other output."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging as transformers_logging

from avseg.checkpoints.resources import free_space
from avseg.errors import OutputError


def save_weights(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file that every user of the machine can read.

    Args:
        tensors: The tensors, by name.
        path: The file.
        metadata: Entries for the header, besides the format.
    """
    # safetensors rejects tensors that are not contiguous, such as a transposed one.
    contiguous = {name: values.contiguous() for name, values in tensors.items()}
    save_file(contiguous, path, metadata={"format": "pt", **(metadata or {})})
    make_readable(path)


def make_readable(path: Path) -> None:
    """Set the permissions of a file so that all users can read it.

    Without this, only the owner can read a file that safetensors has written.

    Args:
        path: The file.
    """
    path.chmod(0o644)


@contextmanager
def explain_weight_write_errors(output: Path, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Raise an error with the size of the weights if they cannot be written.

    The free space is checked before the block runs, so that minutes of work are not spent on a full
    disk. `atomic.explain_write_error` explains the errors of every output, but knows no size.

    Args:
        output: Path of the file or folder to write.
        tensors: The tensors to write.

    Yields:
        Nothing.

    Raises:
        OutputError: If there is not enough space, or writing fails.
    """
    needed = sum(values.nbytes for values in tensors.values())
    try:
        if free_space(output.parent) < needed:
            # The same error as from a write to a full disk, which the handler below explains.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{output}: cannot be written ({error}); it needs {needed / 1e9:.2f} GB. Make room, or "
            "choose another folder."
        ) from error


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Disable the progress bar of `transformers`, which would disturb the command's own.

    Yields:
        Nothing.
    """
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
