"""Gather the pages of the documentation site from the repository.

python tools/build_site.py   (`make docs` runs it, then zensical)

Zensical reads one folder, but pages are also read on GitHub, where a link goes to a file of the
repository: the README of a model family lies beside its code. So all pages are copied to
`build/site_pages`, and their links are rewritten from the file in the repository to its page. A
link to a file without a page, such as a source file, becomes the file's path in plain text. Pages
that code can tell (commands, API, list of decisions) are generated.
"""

import os
import re
import shutil
from pathlib import Path

from avseg.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "site_pages"

#: Markdown files outside docs/ that are pages of the site, as glob patterns from the root.
PAGES_ELSEWHERE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
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
    for name, text in generate_pages().items():
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / name).write_text(text, encoding="utf-8")
    print(f"{len(list(PAGES.rglob('*.md')))} pages in {PAGES.relative_to(ROOT)}")


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
    # README.md is the start page of GitHub as docs/index.md is that of the site.
    known = {
        ROOT / "README.md": Path("index.md"),
        ROOT / "docs" / "decisions": Path("decisions/index.md"),
        **pages,
    }

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
        if (
            linked.is_relative_to(ROOT / "docs")
            and linked.relative_to(ROOT / "docs").as_posix() in GENERATED
        ):
            return match.group()
        raise BrokenLinkError(f"{origin.relative_to(ROOT)}: {target} does not exist.")

    parts = _CODE.split(origin.read_text(encoding="utf-8"))
    # A link whose text is code is split at the code, so it is put together before it is rewritten.
    joined, kept = [], {}
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
    """Return the text of each page that is generated from the code, by its path."""
    return {
        "reference/commands.md": document_commands(),
        "decisions/index.md": list_decisions(),
    } | {f"reference/api/{room.name}.md": document_room(room) for room in rooms()}


def document_commands() -> str:
    """Return the help of every command as Markdown."""
    text = app.generate_docs(output_format="markdown", heading_level=1)
    # The table of contents and the list of commands say the same twice.
    text = re.sub(
        r"^## Table of Contents\n.*?(?=^\*\*Commands)", "", text, flags=re.MULTILINE | re.DOTALL
    )
    # Markdown joins lines that cyclopts indents under a list item only if they follow directly.
    return re.sub(r"^# avseg$", "# Commands", text, count=1, flags=re.MULTILINE)


def list_decisions() -> str:
    """Return the list of decision notes, from their first lines."""
    lines = [
        "# Decisions\n",
        "Why something is as it is, where another choice was reasonable. A note is not changed once it is accepted.\n",
    ]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
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
        lines.append(f"::: {'.'.join(parts)}\n")
    return "\n".join(lines)


def _has_members(path: Path) -> bool:
    return bool(
        re.search(r"^(def|class) [a-z A-Z]", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


#: Generated pages that pages written by hand may link to.
GENERATED = {
    "reference/commands.md",
    "decisions/index.md",
    *(f"reference/api/{room.name}.md" for room in rooms()),
}


if __name__ == "__main__":
    main()
