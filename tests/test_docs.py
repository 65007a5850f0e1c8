"""Documentation against the code: tables that must be complete, links that must work."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from avseg import errors
from avseg.errors import AvsegError
from avseg.evaluation.report import Report
from avseg.evaluation.robustness import FollowingScores
from avseg.evaluation.scores import ClipScores, ConditionScores
from avseg.export.result import ResultSummary
from avseg.types import VideoInfo
from tools.build_site import find_pages, rewrite_links, rooms

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", [path for path in find_pages() if path.suffix == ".md"], ids=str)
def test_every_link_of_a_page_goes_to_a_file_of_the_repository(page: Path) -> None:
    rewrite_links(page, find_pages())  # raises an error for a broken link


def test_every_link_of_the_readme_goes_to_a_file_of_the_repository() -> None:
    readme = ROOT / "README.md"

    rewrite_links(readme, {**find_pages(), readme: Path("index.md")})


def test_every_page_that_the_code_names_exists() -> None:
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))

    named = set(re.findall(r"\bdocs/[\w/.-]+\.md", code))

    assert "docs/explanation/metrics.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_environment_variables_that_the_package_reads_are_documented() -> None:
    page = (DOCS / "reference" / "environment-variables.md").read_text(encoding="utf-8")
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))

    read = set(re.findall(r"\b(?:AVSEG|HF|XDG)_[A-Z_]*[A-Z]\b", code))
    read |= set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", code))

    assert {"AVSEG_CACHE", "AVSEG_PARTS", "HF_TOKEN", "LOCALAPPDATA"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


def test_every_error_class_is_documented() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")

    classes = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}

    assert AvsegError.__name__ in classes
    assert [name for name in sorted(classes) if name not in page] == []


@pytest.mark.parametrize(
    ("page", "written"),
    [
        ("report-json.md", Report),
        ("report-json.md", ClipScores),
        ("report-json.md", ConditionScores),
        ("report-json.md", FollowingScores),
        ("result-json.md", ResultSummary),
        ("result-json.md", VideoInfo),
    ],
)
def test_every_key_that_is_written_to_a_json_file_is_documented(page: str, written: type) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")

    keys = [field.name for field in fields(written)]

    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_folder_of_the_package_and_every_family_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    wanted = [f"reference/api/{room.name}.md" for room in rooms()]
    wanted += [str(path.relative_to(ROOT)) for path in ROOT.glob("src/avseg/models/*/README.md")]

    assert len(wanted) > 15
    assert [page for page in wanted if page not in menu] == []


def test_the_card_of_a_packaged_model_is_the_one_in_the_documentation() -> None:
    packaged = ROOT / "src" / "avseg" / "checkpoints" / "packaged"

    for card in sorted((DOCS / "cards").glob("*.md")):
        assert (packaged / card.stem / "README.md").read_bytes() == card.read_bytes()
