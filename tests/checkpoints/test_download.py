"""Files of the Hub are downloaded once, complete and verified, or an error explains why."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from huggingface_hub import constants, hf_hub_download

from avseg.checkpoints.download import download, find_downloaded
from avseg.checkpoints.known_models import HubFile
from avseg.errors import CheckpointError
from tests.checkpoints.hub import LocalHub

PART = HubFile("someone/weights", "model.safetensors", "this test", "MIT")
CONTENT = bytes(range(256)) * 400
Usage = namedtuple("Usage", "total used free")


def files_in(folder: Path) -> list[str]:
    """List the files below a folder, without locks."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.endswith(".lock"))


def test_a_file_is_downloaded_into_the_cache(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    path = download(PART, endpoint=hub.endpoint)
    assert path == cache / "downloads/someone--weights/main/model.safetensors"
    assert path.read_bytes() == CONTENT
    assert files_in(cache) == ["model.safetensors"]


def test_the_variable_hf_endpoint_names_the_hub(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    code = (
        "from avseg.checkpoints.download import download\n"
        "from avseg.checkpoints.known_models import HubFile\n"
        f"download({PART!r})"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)  # noqa: S603 - ours
    assert files_in(cache) == [PART.file]


def test_a_small_file_that_the_hub_serves_itself_is_downloaded(hub: LocalHub) -> None:
    hub.add(PART.repository, "added_tokens.json", b'{"[semantic]": 64002}')
    path = download(replace(PART, file="added_tokens.json"), endpoint=hub.endpoint)
    assert path.read_bytes() == b'{"[semantic]": 64002}'


def test_the_revision_is_that_of_the_file(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    download(replace(PART, revision="v2"), endpoint=hub.endpoint)
    # The library may have asked the Hub for something else before.
    heads = [path for method, path, _ in hub.requests if method == "HEAD"]
    assert heads[0] == "/someone/weights/resolve/v2/model.safetensors"


def test_a_downloaded_file_needs_no_server(cache: Path) -> None:
    hub = LocalHub()
    hub.add(PART.repository, PART.file, CONTENT)
    with hub.running():
        first = download(PART, endpoint=hub.endpoint)
    asked = len(hub.requests)
    assert download(PART, endpoint=hub.endpoint) == first == find_downloaded(PART)
    assert len(hub.requests) == asked
    assert cache in first.parents


def test_a_file_in_the_hubs_own_cache_is_used(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    with_hub = hf_hub_download(PART.repository, PART.file, endpoint=hub.endpoint)
    asked = len(hub.requests)
    assert download(PART, endpoint=hub.endpoint).resolve() == Path(with_hub).resolve()
    assert len(hub.requests) == asked


def test_offline_a_downloaded_file_is_used(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    first = download(PART, endpoint=hub.endpoint)
    assert download(PART, endpoint=hub.endpoint, offline=True) == first


@pytest.mark.parametrize("by_variable", [False, True])
def test_offline_a_missing_file_is_an_error_without_a_request(
    by_variable: bool, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by_variable)
    with pytest.raises(CheckpointError, match=r"model.safetensors is not on this machine.*go onli"):
        download(PART, endpoint=hub.endpoint, offline=not by_variable)
    assert not hub.requests


def test_a_broken_download_continues_at_the_byte_where_it_ended(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    hub.cut_once_after = 70_000
    assert download(PART, endpoint=hub.endpoint).read_bytes() == CONTENT
    assert hub.gets() == [None, "bytes=70000-"]


def test_the_next_attempt_continues_where_a_failed_one_ended(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    download_and_give_up(hub, sent=10_000)
    (partial,) = files_in(cache)
    assert partial.startswith(".model.safetensors.")
    assert partial.endswith(".incomplete")
    assert find_downloaded(PART) is None
    before = len(hub.gets())
    assert download(PART, endpoint=hub.endpoint).read_bytes() == CONTENT
    assert hub.gets()[before:] == ["bytes=10000-"]
    assert files_in(cache) == ["model.safetensors"]


def download_and_give_up(hub: LocalHub, sent: int) -> None:
    """Download with a Hub that sends a few bytes only, until the download fails."""
    hub.budget = sent
    with pytest.raises(CheckpointError, match=r"cannot be reached.*the downloaded bytes are kept"):
        download(PART, endpoint=hub.endpoint)
    hub.budget = None


def test_a_newer_version_of_the_file_is_not_appended_to_the_older(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    download_and_give_up(hub, sent=10_000)
    hub.add(PART.repository, PART.file, CONTENT[::-1])
    assert download(PART, endpoint=hub.endpoint).read_bytes() == CONTENT[::-1]


def test_a_file_with_another_hash_is_rejected_before_its_download(
    hub: LocalHub, cache: Path
) -> None:
    known = "0" * 64
    found = hub.add(PART.repository, PART.file, CONTENT)
    with pytest.raises(CheckpointError, match=rf"SHA-256 is {found}, it should be {known}.*import"):
        download(replace(PART, sha256=known), endpoint=hub.endpoint)
    assert not hub.gets()
    assert files_in(cache) == []


def test_a_file_damaged_in_transfer_is_rejected_and_deleted(hub: LocalHub, cache: Path) -> None:
    published = hub.add(PART.repository, PART.file, CONTENT)
    partial = make_partial(cache, published, b"\xff" + CONTENT[1:50_000])
    with pytest.raises(
        CheckpointError, match=rf"it should be {published}, .* is deleted; try agai"
    ):
        download(PART, endpoint=hub.endpoint)
    assert not partial.exists()
    assert download(PART, endpoint=hub.endpoint).read_bytes() == CONTENT


def make_partial(cache: Path, sha256: str, content: bytes) -> Path:
    """Write the partial file of an earlier attempt."""
    partial = cache / f"downloads/someone--weights/main/.model.safetensors.{sha256[:16]}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(content)
    return partial


def test_a_partial_file_longer_than_the_whole_is_downloaded_from_the_start(
    hub: LocalHub, cache: Path
) -> None:
    make_partial(cache, hub.add(PART.repository, PART.file, CONTENT), CONTENT + b"more")
    assert download(PART, endpoint=hub.endpoint).read_bytes() == CONTENT


def test_a_file_that_was_changed_is_rejected_and_downloaded_again(hub: LocalHub) -> None:
    part = replace(PART, sha256=hub.add(PART.repository, PART.file, CONTENT))
    path = download(part, endpoint=hub.endpoint)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=rf"it should be {part.sha256}"):
        download(part, endpoint=hub.endpoint)
    assert not path.exists()
    assert download(part, endpoint=hub.endpoint).read_bytes() == CONTENT


def test_a_wrong_file_in_the_hubs_own_cache_is_rejected_and_not_deleted(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    path = Path(hf_hub_download(PART.repository, PART.file, endpoint=hub.endpoint))
    with pytest.raises(CheckpointError, match=r"so it is not used.*delete it where it is stored"):
        download(replace(PART, sha256="0" * 64), endpoint=hub.endpoint)
    assert path.exists()


def test_a_file_in_a_folder_of_the_repository_is_found_again(hub: LocalHub) -> None:
    hub.add(PART.repository, "ckpts/weights.pth", CONTENT)
    part = replace(PART, file="ckpts/weights.pth")
    path = download(part, endpoint=hub.endpoint)
    assert path.parts[-2:] == ("ckpts", "weights.pth")
    assert find_downloaded(part) == path


def test_a_missing_file_lists_the_files_of_the_repository(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, "weights.bin", CONTENT)
    with pytest.raises(CheckpointError, match=r"^someone/weights: .*but weights.bin; if one of"):
        download(PART, endpoint=hub.endpoint)
    assert files_in(cache) == []


def test_a_revision_that_was_removed_is_an_error_with_its_page(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    hub.removed_revisions.add("v2")
    with pytest.raises(CheckpointError, match=r"has no revision v2 .* see http.*/someone/weights"):
        download(replace(PART, revision="v2"), endpoint=hub.endpoint)
    assert files_in(cache) == []


def test_a_gated_repository_asks_to_accept_its_licence_and_to_log_in(hub: LocalHub) -> None:
    hub.gated.add(PART.repository)
    with pytest.raises(CheckpointError) as error:
        download(PART, endpoint=hub.endpoint)
    assert str(error.value) == (
        "someone/weights: is gated, so access needs its owners' permission. Open "
        f"{hub.endpoint}/someone/weights, log in, read the licence (MIT) and accept it there; then "
        "log in with `hf auth login` or set HF_TOKEN, and try again. If you do not accept it, "
        "choose another model: `avseg models` lists all."
    )


def test_a_missing_or_private_repository_is_an_error(hub: LocalHub) -> None:
    with pytest.raises(CheckpointError, match=rf"private; see {hub.endpoint}/someone/weights;"):
        download(PART, endpoint=hub.endpoint)


def test_without_network_the_address_and_the_next_step_are_named(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"http://127.0.0.1:9 cannot be reached.*HF_ENDPOINT"):
        download(PART)
    assert files_in(cache) == []


def test_a_server_that_is_no_hub_is_an_error(
    monkeypatch: pytest.MonkeyPatch, hub: LocalHub
) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    monkeypatch.setattr("tests.checkpoints.hub.COMMIT", "")
    with pytest.raises(CheckpointError, match=r"it is not from a Hub; check HF_ENDPOINT"):
        download(PART, endpoint=hub.endpoint)


def test_a_disk_that_is_too_small_is_an_error_before_the_download(
    hub: LocalHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 900, 100))
    with pytest.raises(
        CheckpointError, match=r"is full \(102400 bytes are missing, 100 are free\)"
    ):
        download(PART, endpoint=hub.endpoint)
    assert not hub.gets()
    assert files_in(cache) == []


def test_a_partial_file_is_deleted_if_the_disk_becomes_full(
    hub: LocalHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_fail(_: str, file: BinaryIO, **__: object) -> None:
        file.write(CONTENT[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.add(PART.repository, PART.file, CONTENT)
    monkeypatch.setattr("avseg.checkpoints.download.http_get", write_and_fail)
    with pytest.raises(CheckpointError, match=r"is full \(No space left on device\).*AVSEG_CACHE"):
        download(PART, endpoint=hub.endpoint)
    assert files_in(cache) == []


def test_a_cache_that_cannot_be_created_is_an_error(hub: LocalHub, cache: Path) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    cache.write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match=r"cannot be written to.*AVSEG_CACHE"):
        download(PART, endpoint=hub.endpoint)


def test_two_processes_download_a_file_once(hub: LocalHub) -> None:
    hub.add(PART.repository, PART.file, CONTENT)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: download(PART, endpoint=hub.endpoint), range(2)))
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT]
    assert hub.gets() == [None]
