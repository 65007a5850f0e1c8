"""Published files from the Hugging Face Hub, each once.

A file lies in `downloads/OWNER--NAME/REVISION/` of the cache when it is complete and its hash is
right. Until then it is a hidden `.incomplete` beside that name, which the next attempt goes on
with, in another process too; `hf_hub_download` begins anew there since huggingface_hub 2.4. What
`hf download` has put into the Hub's own cache is used as well.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
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
from avseg.checkpoints.known_models import Part
from avseg.checkpoints.model_folder import file_sha256
from avseg.errors import CheckpointError

#: Seconds to wait for the Hub's list of files.
_LIST_TIMEOUT_S = 10


def download(part: Part, *, endpoint: str | None = None, offline: bool = False) -> Path:
    """Bring a published file here, unless it is here.

    Progress is shown by huggingface_hub's own bar (HF_HUB_DISABLE_PROGRESS_BARS switches it off).

    Args:
        part: Which file.
        endpoint: Address of the Hub or of a mirror; None for the one that HF_ENDPOINT names, and
            otherwise huggingface.co.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.

    Returns:
        The complete file, its hash checked where one is known.

    Raises:
        CheckpointError: If it cannot be had, or its hash is not the known one.
    """
    here = find_downloaded(part)
    if here is not None:
        _check_sha256(part, here, file_sha256(here), part.sha256)
        return here
    if is_offline(offline):
        raise CheckpointError(
            f"{part.repository}: {part.file} is not on this machine, and the network is not to be "
            "used; go online once (without --offline and HF_HUB_OFFLINE), or copy "
            f"{_folder(part)} from a machine that has it."
        )
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    with _explained(part, endpoint):
        name = _find_name(part, endpoint)
        url = hf_hub_url(part.repository, name, revision=part.revision, endpoint=endpoint)
        return _fetch(part, url, _folder(part) / name)


def is_offline(wanted: bool) -> bool:
    """Tell whether no network is to be used.

    Args:
        wanted: Whether the caller wants none.

    Returns:
        True if so, or if HF_HUB_OFFLINE=1 says so for the whole process.
    """
    return wanted or constants.HF_HUB_OFFLINE


def find_downloaded(part: Part) -> Path | None:
    """Look for a published file on this machine.

    Args:
        part: Which file.

    Returns:
        The complete file, in avseg's cache or in the Hub's own; None if it is in neither.
    """
    hub = Path(constants.HF_HUB_CACHE) / repo_folder_name(
        repo_id=part.repository, repo_type="model"
    )
    ref = hub / "refs" / part.revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else part.revision
    for folder in (_folder(part), hub / "snapshots" / commit):
        matches = [path for path in sorted(folder.rglob(part.file)) if path.is_file()]
        if matches:
            return matches[0]
    return None


def _folder(part: Part) -> Path:
    return cache_folder() / "downloads" / part.repository.replace("/", "--") / part.revision


def _find_name(part: Part, endpoint: str) -> str:
    """Find the one file of the repository that a pattern means."""
    if "*" not in part.file:
        return part.file
    names = _list_names(part, endpoint)
    matches = [name for name in names if fnmatch(name, part.file)]
    if len(matches) == 1:
        return matches[0]
    raise CheckpointError(f"{part.repository}: {_explain_names(part, endpoint, matches or names)}")


def _list_names(part: Part, endpoint: str) -> list[str]:
    info = HfApi(endpoint).model_info(
        part.repository, revision=part.revision, timeout=_LIST_TIMEOUT_S
    )
    return sorted(sibling.rfilename for sibling in info.siblings or ())


def _names_if_told(part: Part, endpoint: str) -> list[str]:
    try:
        return _list_names(part, endpoint)
    except (HTTPError, OSError):
        return []


def _fetch(part: Part, url: str, destination: Path) -> Path:
    """Download into a hidden file, go on where an earlier attempt ended, check, and rename."""
    facts = get_hf_file_metadata(url)
    if not facts.etag or not facts.commit_hash:
        raise CheckpointError(
            f"{url}: the answer has no ETag or no commit, so this is no Hub; check HF_ENDPOINT, "
            "and whether a proxy stands in between."
        )
    # The tag of a large file is its SHA-256, so that a changed one is refused before it is fetched.
    published = facts.etag if re.fullmatch("[0-9a-f]{64}", facts.etag) else None
    _check_sha256(part, url, published, part.sha256)
    with locked(destination):
        if not destination.is_file():
            partial = destination.with_name(f".{destination.name}.{facts.etag[:16]}.incomplete")
            _get(url, facts, partial)
            _check_sha256(part, partial, file_sha256(partial), part.sha256 or published)
            partial.replace(destination)
    return destination


def _get(url: str, facts: HfFileMetadata, partial: Path) -> None:
    """Download what is missing of a file."""
    resume_size = partial.stat().st_size if partial.is_file() else 0
    if facts.size is not None:
        if resume_size > facts.size:  # two have written to it, where locks do not work
            partial.unlink()
            resume_size = 0
        missing, free = facts.size - resume_size, shutil.disk_usage(partial.parent).free
        if missing > free:
            raise OSError(errno.ENOSPC, f"{missing} bytes are missing, {free} are free")
    try:
        with partial.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=resume_size,
                headers=build_hf_headers(),
                expected_size=facts.size,
                displayed_filename=url.rsplit("/", 1)[-1],
            )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            partial.unlink()  # a full disk is worse than a download from the start
        raise


def _check_sha256(part: Part, where: Path | str, found: str | None, known: str | None) -> None:
    """Refuse a file that is not the known one, and delete it if it is avseg's own."""
    if found is None or known is None or found == known:
        return
    is_ours = isinstance(where, Path) and cache_folder() in where.parents
    if is_ours:
        Path(where).unlink()
    again = "it is deleted; try again" if is_ours else "delete it where it is stored and try again"
    raise CheckpointError(
        f"{where}: the file's SHA-256 is {found}, it should be {known}, so it is not used. If it "
        f"was damaged, {again}. If its owners have replaced it (see "
        f"{part.repository} on the Hub), download it yourself, and when you trust it, turn it into "
        "a model with `avseg import-checkpoint`."
    )


def _explain_names(part: Part, endpoint: str, names: list[str]) -> str:
    return (
        f"there is not exactly one file {part.file} (its name is known from {part.name_from}), but "
        f"{', '.join(names) or 'others'}; if one of them is meant, download it from "
        f"{endpoint}/{part.repository}/tree/{part.revision} and turn it into a model with "
        "`avseg import-checkpoint`."
    )


@contextmanager
def _explained(part: Part, endpoint: str) -> Iterator[None]:
    """Say what is to be done when the Hub, the network or the disk refuses."""
    try:
        yield
    except (HTTPError, OSError) as error:
        raise CheckpointError(f"{part.repository}: {_explain(error, part, endpoint)}") from error


def _explain(error: Exception, part: Part, endpoint: str) -> str:
    page = f"{endpoint}/{part.repository}"
    log_in = "log in with `hf auth login` or set HF_TOKEN, and try again."
    match error:
        case GatedRepoError():
            text = f"its owners let in only who asks; ask on {page}, then {log_in}"
        case RevisionNotFoundError():
            text = f"has no revision {part.revision} (any more); see {page}."
        case EntryNotFoundError():
            text = _explain_names(part, endpoint, _names_if_told(part, endpoint))
        case RepositoryNotFoundError():
            text = f"is not there, or private; look at {page}; if you may see it, {log_in}"
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            text = f"the Hub refuses ({error.response.status_code}); {log_in}"
        case HfHubHTTPError():
            text = f"the Hub answers {error.response.status_code}; try again later."
        case HTTPError():
            text = (
                f"{endpoint} cannot be reached ({error or type(error).__name__}); check the "
                "network, or name a mirror with HF_ENDPOINT, and try again: what has come is kept."
            )
        case OSError(errno=errno.ENOSPC):
            text = (
                f"the disk of {cache_folder()} is full ({error.strerror}); free some, or name a "
                "folder on another disk with the environment variable AVSEG_CACHE."
            )
        case _:
            text = f"{error}; check that {cache_folder()} can be written to, and try again."
    return text
