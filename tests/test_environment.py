"""Description of the software and hardware that results were computed with."""

import subprocess
from pathlib import Path

import pytest
import torch

from avseg import environment
from avseg.environment import computes_bf16, describe_environment, find_commit


def test_the_environment_has_versions_and_device() -> None:
    facts = describe_environment(torch.device("cpu"))
    assert facts["device"] == "cpu"
    packages = facts["packages"]
    assert isinstance(packages, dict)
    assert packages["torch"] == torch.__version__


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", *identity, *arguments],  # noqa: S607 - whichever git there is
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_the_checkout_with_dirty_for_changed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "environment.py"
    module.write_text("first")
    monkeypatch.setattr(environment, "__file__", str(module))
    git(tmp_path, "init", "--quiet")
    assert find_commit() is None  # in a repository, but not of it
    git(tmp_path, "add", "environment.py")
    git(tmp_path, "commit", "--quiet", "--no-verify", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert find_commit() == commit
    module.write_text("second")
    assert find_commit() == f"{commit}-dirty"


def test_without_a_checkout_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert find_commit() is None


def test_only_a_processor_may_lack_instructions_for_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not computes_bf16(torch.device("cpu"))
    assert computes_bf16(torch.device("cuda"))
