"""Tests of the public API: its names, and what `import avseg` must not load."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import avseg

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "accelerate", "scipy"}


def modules_loaded_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after `code` ran in a new interpreter."""
    report = (
        "\nimport sys; sys.stderr.write(','.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter, code from this file
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split(","))


def test_all_is_sorted() -> None:
    assert avseg.__all__ == sorted(avseg.__all__)


@pytest.mark.parametrize("name", avseg.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(avseg, name)
    assert not isinstance(value, ModuleType), f"a module hides the public name {name}"


def test_all_lists_every_name_that_can_be_imported() -> None:
    assert set(avseg.__all__) == {*vars(avseg)["_MODULES"], "__version__"}


def test_dir_lists_public_names_before_they_are_imported() -> None:
    assert set(avseg.__all__) <= set(dir(avseg))


def test_the_error_for_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'read_clips'; it has .*read_clip,"):
        vars(avseg)["__getattr__"]("read_clips")


def test_importing_avseg_loads_nothing_heavy() -> None:
    assert not modules_loaded_by("import avseg") & (HEAVY | {"numpy", "av", "PIL"})


def test_help_loads_nothing_heavy() -> None:
    code = "from avseg.cli.main import app, run\nassert run(app, ['--help']) == 0"
    assert not modules_loaded_by(code) & HEAVY


@pytest.mark.parametrize("name", ["probe", "read_clip", "stream_clips", "save_masks", "Clip"])
def test_media_and_export_load_nothing_heavy(name: str) -> None:
    assert not modules_loaded_by(f"import avseg\navseg.{name}") & HEAVY


def test_the_changelog_has_this_version_on_top() -> None:
    versions = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[:2] == ["Unreleased", avseg.__version__]
