"""Download of published files from the Hugging Face Hub; each file is downloaded once.

A complete file with the right hash is in `downloads/OWNER--NAME/REVISION/` of the cache. An
incomplete file is hidden and ends with `.incomplete`. The next attempt continues it, also in
another process. `hf_hub_download` is not used, because from huggingface_hub 2.4 on it starts again
after an interruption. Files that `hf download` stored in the Hub's own cache are also found.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx's
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import HfFileMetadata, http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from avseg.checkpoints.cache import cache_folder, locked
from avseg.checkpoints.known_models import HubFile
from avseg.checkpoints.model_folder import describe_licence, file_sha256
from avseg.errors import CheckpointError

#: Timeout of the request for the Hub's list of files, in seconds.
_LIST_TIMEOUT_S = 10


@dataclass(frozen=True)
class LocatedFile:
    """A published file that was found on this machine or on the Hub.

    Attributes:
        file: The file.
        endpoint: Address of the Hub.
        path: Path of the complete file on this machine; None if it has to be downloaded.
        metadata: Description by the Hub; None if the file is on this machine.
    """

    file: HubFile
    endpoint: str
    path: Path | None
    metadata: HfFileMetadata | None

    @property
    def url(self) -> str:
        """Address of the file."""
        file = self.file
        return hf_hub_url(
            file.repository, file.file, revision=file.revision, endpoint=self.endpoint
        )

    @property
    def size_bytes(self) -> int:
        """Size of the file in bytes; 0 if neither the Hub nor the catalog states it."""
        if self.path is not None:
            return self.path.stat().st_size
        stated = None if self.metadata is None else self.metadata.size
        return stated or self.file.size_bytes or 0

    @property
    def missing_bytes(self) -> int:
        """Number of bytes to download; those of an interrupted download are on this machine."""
        if self.metadata is None:
            return 0
        partial = _partial(self.file, self.metadata)
        return max(self.size_bytes - (partial.stat().st_size if partial.is_file() else 0), 0)


def locate(file: HubFile, *, endpoint: str | None = None, offline: bool = False) -> LocatedFile:
    """Find a published file on this machine, or request its size and hash from the Hub.

    Nothing is downloaded, so that missing files, permissions and space are found to be missing
    before the first byte of the first file.

    Args:
        file: The file.
        endpoint: Address of the Hub or of a mirror; None for the one that HF_ENDPOINT names, and
            otherwise huggingface.co.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.

    Returns:
        The file.

    Raises:
        CheckpointError: If the file is not available, or its hash is not the known one.
    """
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    here = find_downloaded(file)
    if here is not None:
        _check_sha256(file, here, file_sha256(here), file.sha256)
        return LocatedFile(file, endpoint, here, None)
    if is_offline(offline):
        raise CheckpointError(
            f"{file.repository}: {file.file} is not on this machine, and the network must not be "
            "used; go online once (without --offline and HF_HUB_OFFLINE), or copy "
            f"{_folder(file)} from a machine that has it."
        )
    with _explain_errors(file, endpoint):
        url = LocatedFile(file, endpoint, None, None).url
        return LocatedFile(file, endpoint, None, _request(file, url))


def fetch(located: LocatedFile) -> Path:
    """Return the path of a published file; download the file if it is not on this machine.

    The progress bar is huggingface_hub's own (HF_HUB_DISABLE_PROGRESS_BARS disables it).

    Args:
        located: The file.

    Returns:
        Path of the complete file; its hash is verified if one is known.

    Raises:
        CheckpointError: If the download fails, or the hash is not the known one.
    """
    if located.path is not None:
        return located.path
    with _explain_errors(located.file, located.endpoint):
        return _download(located)


def download(file: HubFile, *, endpoint: str | None = None, offline: bool = False) -> Path:
    """Return the path of one published file; download the file if it is not on this machine.

    Args:
        file: The file.
        endpoint: As for `locate`.
        offline: As for `locate`.

    Returns:
        Path of the complete file; its hash is verified if one is known.

    Raises:
        CheckpointError: If the download fails, or the hash is not the known one.
    """
    return fetch(locate(file, endpoint=endpoint, offline=offline))


def is_offline(wanted: bool) -> bool:
    """Return whether the network must not be used.

    Args:
        wanted: Whether the caller wants to use no network.

    Returns:
        True if the caller wants it, or HF_HUB_OFFLINE=1 is set.
    """
    return wanted or constants.HF_HUB_OFFLINE


def find_downloaded(file: HubFile) -> Path | None:
    """Find a published file on this machine.

    Args:
        file: The file.

    Returns:
        Path of the complete file, in avseg's cache or in the Hub's own; None if it is in neither.
    """
    hub = Path(constants.HF_HUB_CACHE) / repo_folder_name(
        repo_id=file.repository, repo_type="model"
    )
    # The Hub's cache has a snapshot for each commit, and a file with the commit of each branch.
    ref = hub / "refs" / file.revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else file.revision
    for folder in (_folder(file), hub / "snapshots" / commit):
        if (folder / file.file).is_file():
            return folder / file.file
    return None


def _folder(file: HubFile) -> Path:
    return cache_folder() / "downloads" / file.repository.replace("/", "--") / file.revision


def _list_names(file: HubFile, endpoint: str) -> list[str]:
    info = HfApi(endpoint).model_info(
        file.repository, revision=file.revision, timeout=_LIST_TIMEOUT_S
    )
    return sorted(sibling.rfilename for sibling in info.siblings or ())


def _names_if_listed(file: HubFile, endpoint: str) -> list[str]:
    try:
        return _list_names(file, endpoint)
    except (HTTPError, OSError):
        return []


def _request(file: HubFile, url: str) -> HfFileMetadata:
    """Request size and hash of a file from the Hub, and verify the hash if the Hub states it."""
    metadata = get_hf_file_metadata(url)
    if not metadata.etag or not metadata.commit_hash:
        raise CheckpointError(
            f"{url}: the response has no ETag or no commit, so it is not from a Hub; check "
            "HF_ENDPOINT, and whether a proxy changes the response."
        )
    # A file with another hash is not downloaded at all.
    _check_sha256(file, url, _stated_sha256(metadata), file.sha256)
    return metadata


def _stated_sha256(metadata: HfFileMetadata) -> str | None:
    """Return the SHA-256 that the Hub states; only the ETag of a large file is one."""
    etag = metadata.etag or ""
    return etag if re.fullmatch("[0-9a-f]{64}", etag) else None


def _partial(file: HubFile, metadata: HfFileMetadata) -> Path:
    """Return the path of the incomplete file of a download."""
    # The ETag in the name: a changed file does not continue the download of the old one.
    destination = _folder(file) / file.file
    return destination.with_name(f".{destination.name}.{(metadata.etag or '')[:16]}.incomplete")


def _download(located: LocatedFile) -> Path:
    """Download to a hidden file, verify its hash, and rename it to its destination."""
    file, metadata = located.file, located.metadata
    assert metadata is not None  # noqa: S101 - the Hub has described every file without a path
    destination = _folder(file) / file.file
    with locked(destination):
        # Another process may have downloaded it meanwhile.
        if not destination.is_file():
            partial = _partial(file, metadata)
            _get(located.url, metadata, partial)
            known = file.sha256 or _stated_sha256(metadata)
            _check_sha256(file, partial, file_sha256(partial), known)
            partial.replace(destination)
    return destination


def _get(url: str, metadata: HfFileMetadata, partial: Path) -> None:
    """Download the missing bytes of a file."""
    resume_size = partial.stat().st_size if partial.is_file() else 0
    if metadata.size is not None:
        # Too large if two processes wrote to it, on a file system without locks.
        if resume_size > metadata.size:
            partial.unlink()
            resume_size = 0
        missing, free = metadata.size - resume_size, shutil.disk_usage(partial.parent).free
        if missing > free:
            raise OSError(errno.ENOSPC, f"{missing} bytes are missing, {free} are free")
    try:
        with partial.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=resume_size,
                headers=build_hf_headers(),
                expected_size=metadata.size,
                displayed_filename=url.rsplit("/", 1)[-1],
            )
    except OSError as error:
        # The bytes of other errors are kept, but a full disk needs the space more.
        if error.errno == errno.ENOSPC:
            partial.unlink()
        raise


def _check_sha256(file: HubFile, where: Path | str, found: str | None, known: str | None) -> None:
    """Raise an error if the hash is not the known one; delete the file if it is in the cache."""
    if found is None or known is None or found == known:
        return
    # A file in the Hub's own cache belongs to other programs too, so it is not deleted.
    is_ours = isinstance(where, Path) and cache_folder() in where.parents
    if is_ours:
        Path(where).unlink()
    again = "it is deleted; try again" if is_ours else "delete it where it is stored and try again"
    raise CheckpointError(
        f"{where}: the file's SHA-256 is {found}, it should be {known}, so it is not used. If it "
        f"was damaged, {again}. If its owners have replaced it (see "
        f"{file.repository} on the Hub), download the new file yourself; if you trust it, convert "
        "it with `avseg import-checkpoint`."
    )


def _explain_names(file: HubFile, endpoint: str, names: list[str]) -> str:
    return (
        f"there is no file {file.file} (its name is known from {file.name_from}), but "
        f"{', '.join(names) or 'others'}; if one of them is meant, download it from "
        f"{endpoint}/{file.repository}/tree/{file.revision} and convert it with "
        "`avseg import-checkpoint`."
    )


@contextmanager
def _explain_errors(file: HubFile, endpoint: str) -> Iterator[None]:
    """Raise errors of the Hub, the network and the disk as `CheckpointError` with a next step."""
    try:
        yield
    except (HTTPError, OSError) as error:
        raise CheckpointError(f"{file.repository}: {_explain(error, file, endpoint)}") from error


def _explain(error: Exception, file: HubFile, endpoint: str) -> str:
    page = f"{endpoint}/{file.repository}"
    log_in = "log in with `hf auth login` or set HF_TOKEN, and try again."
    # From specific to general: a `GatedRepoError`, for example, is also a
    # `RepositoryNotFoundError`.
    match error:
        case GatedRepoError():
            text = (
                f"is gated, so access needs its owners' permission. Open {page}, log in, read the "
                f"licence ({describe_licence(file.licence)}) and accept it there; then {log_in} If "
                "you do not accept it, choose another model: `avseg models` lists all."
            )
        case RevisionNotFoundError():
            text = f"has no revision {file.revision} (any more); see {page}."
        case EntryNotFoundError():
            text = _explain_names(file, endpoint, _names_if_listed(file, endpoint))
        case RepositoryNotFoundError():
            text = f"does not exist, or is private; see {page}; if you have access, {log_in}"
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            text = f"the Hub denies access ({error.response.status_code}); {log_in}"
        case HfHubHTTPError():
            text = f"the Hub responded with status {error.response.status_code}; try again later."
        case HTTPError():
            text = (
                f"{endpoint} cannot be reached ({error or type(error).__name__}); check the "
                "network, or set a mirror as HF_ENDPOINT, and try again: the downloaded bytes are "
                "kept."
            )
        case OSError(errno=errno.ENOSPC):
            text = (
                f"the disk of {cache_folder()} is full ({error.strerror}); free some, or name a "
                "folder on another disk with the environment variable AVSEG_CACHE."
            )
        case _:
            text = f"{error}; check that {cache_folder()} can be written to, and try again."
    return text
