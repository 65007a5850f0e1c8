"""Cache of imported models: a published model is downloaded and imported once, then reused."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from avseg.atomic import explain_write_error
from avseg.checkpoints.cache import cache_folder, locked
from avseg.checkpoints.known_models import RELEASES, Release, describe_size
from avseg.checkpoints.model_folder import (
    CONFIG_FILE,
    PARSE_ERRORS,
    WEIGHTS_FILE,
    Checkpoint,
    describe_licence,
    file_sha256,
    missing_files,
)
from avseg.checkpoints.resources import check_disk, check_memory

#: To be incremented if a change of `convert_published` changes the folder that it writes.
IMPORT_VERSION = 2

#: `model_type` of SAM 3 in the format of `transformers`.
_PUBLISHED_TYPES = ("sam3", "sam3_video")

_log = logging.getLogger(__name__)


def find_imported(release: Release) -> Checkpoint | None:
    """Find the imported folder of a published model in the cache.

    Args:
        release: The published model.

    Returns:
        The newest import by this version of the importer; None if there is none.
    """
    folders = _release_folder(release).glob(f"{_release_hash(release)}-*")
    # An interrupted import leaves no such folder, but a user may have deleted files of one.
    complete = [folder for folder in folders if not missing_files(folder)]
    newest = max(complete, key=lambda folder: folder.stat().st_mtime_ns, default=None)
    return Checkpoint(release.name, newest, release.licence) if newest else None


def find_or_import(
    release: Release,
    *,
    endpoint: str | None = None,
    offline: bool = False,
    is_mapped: bool = False,
) -> Checkpoint:
    """Find a published model in the cache, or download and import it.

    All files are located, and disk space and memory are checked, before the first download. Two
    processes may call this at the same time: one imports, the other waits for it.

    Args:
        release: The published model.
        endpoint: Address of the Hub or of a mirror; None for the one that HF_ENDPOINT names, and
            otherwise huggingface.co.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.
        is_mapped: Whether the weights stay in their file (memory="low") and need not fit into the
            memory.

    Returns:
        The imported model.

    Raises:
        CheckpointError: If there is not enough memory, a download or the import fails, or the hash
            of a file is not the known one.
        OutputError: If the cache cannot be written to, or its disk is too small.
    """
    imported = find_imported(release)
    if imported is not None:
        return imported
    from avseg.checkpoints.download import fetch, locate  # slow to import

    located = [locate(file, endpoint=endpoint, offline=offline) for file in release.files]
    missing_bytes = sum(file.missing_bytes for file in located)
    _check_resources(
        release, missing_bytes, sum(file.size_bytes for file in located), is_mapped=is_mapped
    )
    if any(file.path is None for file in located):
        _log.warning("%s", _announcement(release))
    files = [fetch(file) for file in located]
    folder = (
        _release_folder(release) / f"{_release_hash(release)}-{_digest(*map(file_sha256, files))}"
    )
    with locked(folder):
        # Another process may have imported the model while this one waited for the lock.
        if missing_files(folder):
            _import(release, files, folder)
    return Checkpoint(release.name, folder, release.licence)


def is_published(folder: Path) -> bool:
    """Return whether a folder has published files that are imported at first use.

    Args:
        folder: The folder.

    Returns:
        True for the files of SAM 3 in the format of `transformers`.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return config.get("model_type") in _PUBLISHED_TYPES
    except PARSE_ERRORS:
        return False


def find_or_import_folder(folder: Path) -> Checkpoint:
    """Find the import of a folder with published files in the cache, or import it.

    Args:
        folder: Folder for which `is_published` is True.

    Returns:
        The imported model, with the name of the folder.

    Raises:
        CheckpointError: If a file is missing or damaged, or keys are missing or unexpected.
        OutputError: If the cache cannot be written to.
    """
    from avseg.checkpoints.sam3_building import LICENCE, make_sam3  # loads torch

    name = folder.resolve().name
    # Without the weights, `make_sam3` raises the error that lists the missing files.
    files = sorted(file for file in folder.iterdir() if file.suffix == ".json")
    weights = [folder / WEIGHTS_FILE] if (folder / WEIGHTS_FILE).is_file() else []
    key = _digest(str(IMPORT_VERSION), *map(file_sha256, [*files, *weights]))
    imported = cache_folder() / "models" / name / key
    with locked(imported):
        if missing_files(imported):
            make_sam3(folder, imported)
    return Checkpoint(name, imported, LICENCE)


def _import(release: Release, files: Sequence[Path], folder: Path) -> None:
    if release.parts:
        # The files of a repository are in one folder, that of its first file.
        folders = {
            file.repository: path.parent
            for file, path in reversed([*zip(release.files, files, strict=True)])
        }
        parts = {role: folders[repository] for role, repository in release.parts.items()}
        if "sam3" in parts:
            from avseg.checkpoints.sam3_building import make_sam3  # loads torch

            make_sam3(parts["sam3"], folder)
            return
        from avseg.checkpoints.open_cascade_building import make_open_cascade  # loads torch

        make_open_cascade(parts["namer"], parts["detector"], parts.get("sam"), folder)
        return
    from avseg.checkpoints.importing import convert_published  # loads torch

    # Options that the published files do not determine are given by a configuration file.
    with explain_write_error(folder, Path(gettempdir())), TemporaryDirectory() as temporary:
        config = Path(temporary) / CONFIG_FILE
        config.write_text(json.dumps(dict(release.options)), encoding="utf-8")
        convert_published(files, folder, config if release.options else None)


def _check_resources(
    release: Release, missing_bytes: int, all_bytes: int, *, is_mapped: bool
) -> None:
    """Raise an error if disk or memory are too small for a download and its import.

    Args:
        release: The published model.
        missing_bytes: Number of bytes to download.
        all_bytes: Size of all its files, and about that of the imported model.
        is_mapped: As for `find_or_import`.
    """
    lighter = [
        f"choose the lighter model {other.name} ({describe_size(other.known_bytes)})"
        for other in _lighter(release, all_bytes)
    ]
    # The downloaded files are kept until the import is complete.
    check_disk(
        cache_folder(),
        missing_bytes + all_bytes,
        f"{release.name}: the download of {describe_size(missing_bytes)} and the import need",
        ["name a folder on another disk with the environment variable AVSEG_CACHE", *lighter],
    )
    # The networks of a model with parts are in memory together while it is imported. Other files
    # are converted without loading them.
    if release.parts or not is_mapped:
        mapped = [] if release.parts else ["keep the weights in their file with --memory low"]
        check_memory(all_bytes, f"{release.name}: its weights need", [*mapped, *lighter])


def _lighter(release: Release, size_bytes: int) -> list[Release]:
    """Return the lightest published model with the same kind of masks, if it is lighter."""
    others = [
        other
        for other in RELEASES.values()
        if other.masks == release.masks and other.size_is_known and other.known_bytes < size_bytes
    ]
    return sorted(others, key=lambda other: other.known_bytes)[:1]


def _release_folder(release: Release) -> Path:
    return cache_folder() / "models" / release.name


def _release_hash(release: Release) -> str:
    """Return a hash of the release's entry and of the importer's version.

    The name of the folder consists of this hash and a hash of the downloaded files. So a changed
    entry or importer causes a new import.
    """
    files = ((file.repository, file.file, file.revision, file.sha256) for file in release.files)
    return _digest(str(IMPORT_VERSION), str(dict(release.options)), *map(repr, files))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _announcement(release: Release) -> str:
    """Format the files that will be downloaded, with their licences."""
    files = ", ".join(
        f"{file.file} of {file.repository} ({describe_size(file.size_bytes)}, licence "
        f"{describe_licence(file.licence)})"
        for file in release.files
    )
    return f"{release.name} is not on this machine yet; downloading {files} to {cache_folder()}."
