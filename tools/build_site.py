"""Gather the pages of the documentation site from the repository.

python tools/build_site.py   (`make docs` runs it, then zensical)

Zensical reads one folder, but pages are also read on GitHub, where a link goes to a file of the
repository: the README of a model family lies beside its code. So all pages are copied to
`build/site_pages`, and their links are rewritten from the file in the repository to its page. A
link to a file without a page, such as a source file, becomes the file's path in plain text. The
commands, the API, and the lists of recipes and decisions are generated from the code.
"""

import os
import re
import shutil
from pathlib import Path

import avseg
from avseg.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "site_pages"

#: Markdown files outside docs/ that are pages of the site, as glob patterns from the root.
PAGES_ELSEWHERE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "THIRD_PARTY.md",
    "LICENSE",
    "CITATION.cff",
    "examples/README.md",
    "src/avseg/models/*/README.md",
)

#: `[text](target)` and `![text](target)`; a target may have an anchor.
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
#: Code is left alone: fenced blocks and inline code.
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


class BrokenLinkError(Exception):
    """A page links to a file that is not in the repository."""


def main() -> None:
    """Write all pages into an empty folder."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = find_pages()
    for origin, page in pages.items():
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        if origin.suffix == ".md":
            (PAGES / page).write_text(rewrite_links(origin, pages), encoding="utf-8")
        else:
            shutil.copyfile(origin, PAGES / page)
    # README.md is no page, since docs/index.md is the start page, but its links are checked too.
    rewrite_links(ROOT / "README.md", {**pages, ROOT / "README.md": Path("index.md")})
    for name, text in generate_pages().items():
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        with (PAGES / name).open("a", encoding="utf-8") as file:
            file.write("\n" + text)
    check_menu()
    print(f"{len(list(PAGES.rglob('*.md')))} pages in {PAGES.relative_to(ROOT)}")


def check_menu() -> None:
    """Check that each entry of the menu in mkdocs.yml is a page, which zensical does not.

    Raises:
        BrokenLinkError: If a page does not exist.
    """
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    for page in re.findall(r": (\S+\.md)$", menu, re.MULTILINE):
        if not (PAGES / page).exists():
            raise BrokenLinkError(f"mkdocs.yml: {page} does not exist.")


def find_pages() -> dict[Path, Path]:
    """Return the page of each file: its path in docs/, or from the root for a file elsewhere."""
    docs = ROOT / "docs"
    pages = {path: path.relative_to(docs) for path in sorted(docs.rglob("*")) if path.is_file()}
    for pattern in PAGES_ELSEWHERE:
        pages |= {path: path.relative_to(ROOT) for path in sorted(ROOT.glob(pattern))}
    return pages


def rewrite_links(origin: Path, pages: dict[Path, Path]) -> str:
    """Return the text of a page with its links going to pages.

    Args:
        origin: The Markdown file.
        pages: Page of each file.

    Returns:
        Markdown; links to files without a page are replaced by their text.

    Raises:
        BrokenLinkError: If a link goes to a file that does not exist.
    """
    known = {ROOT / "README.md": Path("index.md"), **pages}

    def rewrite(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        file, hash_, anchor = target.partition("#")
        if not file or "://" in target or target.startswith("mailto:"):
            return match.group()
        linked = Path(os.path.normpath(origin.parent / file))
        if linked in known:
            page = os.path.relpath(known[linked], pages[origin].parent)
            return f"{mark}[{text}]({page}{hash_}{anchor})"
        if linked.exists():
            return text if text.startswith("`") else f"{text} (`{linked.relative_to(ROOT)}`)"
        raise BrokenLinkError(f"{origin.relative_to(ROOT)}: {target} does not exist.")

    parts = _CODE.split(origin.read_text(encoding="utf-8"))
    # A link whose text is code is split at the code, so it is put together before it is rewritten.
    joined: list[str] = []
    kept: dict[str, str] = {}
    for part in parts:
        if part.startswith("`"):
            key = f"\x00{len(kept)}\x00"
            kept[key] = part
            joined.append(key)
        else:
            joined.append(part)
    text = _LINK.sub(rewrite, "".join(joined))
    for key, part in kept.items():
        text = text.replace(key, part)
    return text


def generate_pages() -> dict[str, str]:
    """Return what is generated from the code, by page; a page in docs/ comes before it."""
    return {
        "reference/api/index.md": document_front_door(),
        "reference/commands.md": document_commands(),
        "decisions/index.md": list_decisions(),
        "reference/training.md": list_recipes(),
        **{f"reference/api/{room.name}.md": document_room(room) for room in rooms()},
    }


def document_front_door() -> str:
    """Return the API entries of the public names of `avseg`: functions first, then classes."""
    public = {name: getattr(avseg, name) for name in avseg.__all__ if not name.startswith("_")}
    functions = [name for name, value in public.items() if not isinstance(value, type)]
    groups = {"Functions": functions, "Classes": [name for name in public if name not in functions]}
    lines = []
    for title, names in groups.items():
        lines.append(f"## {title}\n")
        for name in names:
            # By the path of its definition: `avseg.evaluate` could also be a module.
            path = f"{public[name].__module__}.{public[name].__qualname__}"
            options = f"heading_level: 3, heading: avseg.{name}, toc_label: {name}"
            lines.append(f"::: {path}\n    options: {{ {options} }}\n")
    return "\n".join(lines)


def document_commands() -> str:
    """Return the help of every command as Markdown, each under a heading of level 2."""
    text = app.generate_docs(output_format="markdown", heading_level=1)
    return text[text.index("\n## avseg ") + 1 :]


def list_decisions() -> str:
    """Return the list of decision notes, from their first lines."""
    lines = []
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def list_recipes() -> str:
    """Return a table of the recipes in the package: name, and first sentence of the comment."""
    lines = ["## All recipes\n", "| recipe | content |", "| --- | --- |"]
    for path in sorted((ROOT / "src" / "avseg" / "training" / "recipes").glob("*.yaml")):
        comment = re.match(r"(?:#.*\n)*", path.read_text(encoding="utf-8"))
        text = " ".join(re.findall(r"# ?(.*)", comment.group() if comment else ""))
        sentence = re.match(r".*?\.(?= |$)", text)
        lines.append(f"| `{path.stem}` | {sentence.group() if sentence else text} |")
    return "\n".join(lines) + "\n"


def rooms() -> list[Path]:
    """Return the folders of the package that have a page of the API reference."""
    package = ROOT / "src" / "avseg"
    return sorted(
        path.parent for path in package.glob("*/__init__.py") if path.parent.name != "cli"
    )


def document_room(room: Path) -> str:
    """Return an API page: the public modules of one folder, in the order of their paths."""
    title = f"avseg.{room.name}"
    lines = [f"# {title}\n"]
    for path in sorted(room.rglob("*.py")):
        parts = list(path.relative_to(room.parent.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if any(part.startswith("_") for part in parts) or not _has_members(path):
            continue
        label = ".".join(parts[2:]) or room.name
        lines.append(f"::: {'.'.join(parts)}\n    options: {{ toc_label: {label} }}\n")
    return "\n".join(lines)


def _has_members(path: Path) -> bool:
    return bool(
        re.search(r"^(def|class) [a-z A-Z]", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


if __name__ == "__main__":
    main()
