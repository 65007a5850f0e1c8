"""A local Hub, and empty caches."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.checkpoints.hub import LocalHub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up empty caches of avseg and of the Hub, without network."""
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    use_endpoint("http://127.0.0.1:9", monkeypatch)  # no server has this port
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """Run a Hub without files, with empty caches."""
    assert not cache.exists()
    monkeypatch.setattr(time, "sleep", lambda _: None)  # huggingface_hub's pause between attempts
    monkeypatch.setattr(
        constants, "DOWNLOAD_CHUNK_SIZE", 1000
    )  # the most bytes that a broken transfer loses
    with LocalHub().running() as running:
        use_endpoint(running.endpoint, monkeypatch)
        yield running


def use_endpoint(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint; huggingface_hub reads HF_ENDPOINT only when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
