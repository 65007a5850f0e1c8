"""Published models as folders of avseg: downloaded and imported once, and found again."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from avseg.checkpoints.cache import cache_folder, locked
from avseg.checkpoints.known_models import Release, describe_size
from avseg.checkpoints.model_folder import CONFIG_FILE, Checkpoint, file_sha256, missing_files

#: Raised when `import_checkpoint` makes other folders from the same files than before.
IMPORT_VERSION = 1

_log = logging.getLogger(__name__)


def find_imported(release: Release) -> Checkpoint | None:
    """Look for a published model that was imported before.

    Args:
        release: Which model.

    Returns:
        The newest import of it by this version of the importer; None if there is none.
    """
    folders = _home(release).glob(f"{_edition(release)}-*")
    complete = [folder for folder in folders if not missing_files(folder)]
    newest = max(complete, key=lambda folder: folder.stat().st_mtime_ns, default=None)
    return Checkpoint(release.name, newest, release.licence) if newest else None


def find_or_import(
    release: Release, *, endpoint: str | None = None, offline: bool = False
) -> Checkpoint:
    """Find a published model, or download and import it.

    Two processes may do so at once: one works, the other waits.

    Args:
        release: Which model.
        endpoint: Address of the Hub or of a mirror; None for the one that HF_ENDPOINT names, and
            otherwise huggingface.co.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.

    Returns:
        The imported model.

    Raises:
        CheckpointError: If a file cannot be had, is not the known one, or cannot be imported.
        OutputError: If the cache cannot be written to.
    """
    here = find_imported(release)
    if here is not None:
        return here
    from avseg.checkpoints.download import download, find_downloaded, is_offline  # slow to import

    if not is_offline(offline) and any(find_downloaded(part) is None for part in release.parts):
        _log.warning("%s", _announcement(release))
    files = [download(part, endpoint=endpoint, offline=offline) for part in release.parts]
    folder = _home(release) / f"{_edition(release)}-{_digest(*map(file_sha256, files))}"
    with locked(folder):
        if missing_files(folder):
            _import(release, files, folder)
    return Checkpoint(release.name, folder, release.licence)


def _import(release: Release, files: Sequence[Path], folder: Path) -> None:
    from avseg.checkpoints.importing import import_checkpoint  # loads torch

    with TemporaryDirectory() as temporary:
        config = Path(temporary) / CONFIG_FILE
        config.write_text(json.dumps(dict(release.options)), encoding="utf-8")
        import_checkpoint(files, folder, config=config if release.options else None)


def _home(release: Release) -> Path:
    return cache_folder() / "models" / release.name


def _edition(release: Release) -> str:
    """Name what the catalog and the importer of this version say; the files' hashes follow it."""
    parts = ((part.repository, part.file, part.revision, part.sha256) for part in release.parts)
    return _digest(str(IMPORT_VERSION), str(dict(release.options)), *map(repr, parts))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _announcement(release: Release) -> str:
    """Say what is about to be downloaded, and on which terms."""
    parts = ", ".join(
        f"{part.file} of {part.repository} ({describe_size(part.size_bytes)}, licence "
        f"{part.licence or 'not stated: ask its owners'})"
        for part in release.parts
    )
    return f"{release.name} is not on this machine yet; downloading {parts} to {cache_folder()}."
