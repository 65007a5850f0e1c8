"""The cache folder for downloads, imported models and features, and locks for its files."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from avseg.errors import CheckpointError


def cache_folder() -> Path:
    """Return the cache folder.

    Returns:
        The folder in the environment variable AVSEG_CACHE; otherwise `avseg` in the cache folder
        of the operating system. It need not exist yet.
    """
    chosen = os.environ.get("AVSEG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "avseg"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "avseg"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avseg"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a path of the cache, so that one process or thread at a time writes to it.

    Args:
        path: The file or folder to write; its parent folder is created.

    Yields:
        Nothing. Another process may have written the file during the wait, so the caller should
        check whether it exists.

    Raises:
        CheckpointError: If the cache cannot be written to.
    """
    # Imported here since it is slow to import, and rarely needed.
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    # With a stack the `try` covers only the lock, so errors of the caller's block are not changed.
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(WeakFileLock(path.with_name(f".{path.name}.lock")))
        except OSError as error:
            raise CheckpointError(
                f"{path.parent}: cannot be written to ({error.strerror}); name another folder for "
                "models with the environment variable AVSEG_CACHE."
            ) from error
        yield
