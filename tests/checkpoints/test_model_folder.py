"""A saved model's folder and the hashes of its files."""

from pathlib import Path

from avseg.checkpoints.model_folder import file_sha256


def test_a_file_is_hashed_with_sha_256(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"abc")
    assert file_sha256(tmp_path / "w").startswith("ba7816bf8f01cfea")
