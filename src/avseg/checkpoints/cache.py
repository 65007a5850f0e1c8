"""What avseg keeps between runs: the folder for it, and hashes that are computed once."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from avseg.errors import CheckpointError


def cache_folder() -> Path:
    """Find the folder for downloaded and imported models, and for features of training data.

    Returns:
        The folder that the environment variable AVSEG_CACHE names; otherwise `avseg` in the place
        where this operating system keeps such things. It need not exist yet.
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
    """Let one process or thread at a time make what belongs at a path of the cache.

    Args:
        path: What is to be made; its folder is made here if needed.

    Yields:
        Nothing; whoever waited should look whether the work is done.

    Raises:
        CheckpointError: If the cache cannot be written to.
    """
    # Slow to import, and rarely needed.
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

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
