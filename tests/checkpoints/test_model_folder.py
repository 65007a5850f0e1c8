"""A saved model's folder and the hashes of its files."""

import json
from pathlib import Path

import pytest

from avseg.checkpoints.model_folder import SOURCE_FILE, file_sha256, recorded_licences
from avseg.errors import CheckpointError


def test_a_file_is_hashed_with_sha_256(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"abc")
    assert file_sha256(tmp_path / "w").startswith("ba7816bf8f01cfea")


@pytest.mark.parametrize("licence", [float("nan"), 1, ["MIT"]])
def test_a_recorded_licence_that_is_no_text_is_an_error(licence: object, tmp_path: Path) -> None:
    record = {"sources": [{"licence": "MIT"}, {"licence": licence}]}
    (tmp_path / SOURCE_FILE).write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"source\.json"):
        recorded_licences(tmp_path)
