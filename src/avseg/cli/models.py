"""`avseg models`: list the models that have a name, or describe one of them."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from avseg.checkpoints import Listing, find_listing, list_models
from avseg.checkpoints.cache import cache_folder
from avseg.checkpoints.known_models import HubFile, describe_size
from avseg.checkpoints.model_folder import CARD_FILE, describe_licence, restrictions
from avseg.checkpoints.user_default import MODEL_VARIABLE, default_model, set_default_model
from avseg.cli.choose import choose as ask_and_recommend
from avseg.cli.terminal import wrap

#: Description of each state, and its short form in the list.
_STATES = {
    "packaged": ("in the package", "package"),
    "imported": ("on this machine", "here"),
    "downloadable": ("downloaded and imported on first use", "Hub"),
    "by hand": ("to download by hand", "by hand"),
}
_HEADINGS = ("name", "masks", "film", "trained on", "size", "licence", "where")
#: Mark of a model whose weights were not seen where they are offered.
_UNSEEN = " ?"
_LEGEND = (
    "masks: one = of all sounding objects; by name = one for each named source;",
    "       by text = of what --text describes; none = a backbone",
    "film:  trained on filmed or photographed pictures, so it works on filmed video",
    "size:  ~ = computed from the number of parameters; > = of a part of the files",
    f"where: Hub = downloaded on first use;{_UNSEEN} = weights not seen there",
)
#: If the files of known size have fewer bytes than this in total, no weights are among them.
_SMALLEST_WEIGHTS = 100_000_000
#: Width of the labels of the facts about one model, in characters.
_LABEL_WIDTH = 14


def models(
    name: str | None = None,
    /,
    *,
    choose: Annotated[bool, Parameter(negative="")] = False,
    use: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """List the models that have a name, or describe one of them in detail.

    The list has one line per model. The details of one model are its files with sizes and licences,
    its published figures, its limits, and its folder on this machine.

    Args:
        name: Name of the model to describe; by default all models are listed.
        choose: Ask three questions (the videos, the masks, the use) and recommend a model.
        use: Name or folder of the model that `avseg segment` uses from now on without --model.
        json_: Write JSON, with all details.

    Returns:
        0 on success, 1 if no model fulfils the answers.
    """
    if choose:
        return ask_and_recommend()
    if use is not None:
        _set_default(use)
        return 0
    listings = list_models() if name is None else [find_listing(name)]
    if json_:
        print(json.dumps([asdict(listing) for listing in listings], indent=2, default=str))
        return 0
    console = Console()
    lines = _list_lines(listings) if name is None else _detail_lines(listings[0], console.width)
    for line in lines:
        # Soft wrap: a terminal that is narrower than a word wraps it instead of cutting it off.
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _set_default(model: str) -> None:
    """Store the user's default model, and print what is used from now on."""
    print(f"avseg segment uses {set_default_model(model)} without --model from now on.")
    if default_model() != model and MODEL_VARIABLE in os.environ:
        print(f"But {MODEL_VARIABLE} is set, and takes precedence: {default_model()}.")


def _list_lines(listings: list[Listing]) -> Iterator[Text]:
    """Yield the list: a line of at most 80 characters for each model, and a legend."""
    rows = [_HEADINGS, *map(_row, listings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        style = "bold" if row is not _HEADINGS else "dim"
        line = Text("  ").join([Text(cells[0], style), *map(Text, cells[1:])])
        line.rstrip()
        yield line
    yield Text()
    yield from (Text(line, "dim") for line in _LEGEND)
    yield Text("`avseg models NAME` describes one; `avseg segment VIDEO --model NAME` uses it.")
    yield Text(f"Without --model: {default_model()} (`avseg models --use NAME` changes it).")
    yield Text(f"Models are kept in {cache_folder()}.")


def _row(listing: Listing) -> tuple[str, ...]:
    training = listing.training
    return (
        listing.name,
        listing.masks or "none",
        "yes" if training is not None and training.is_filmed else "no",
        "?" if training is None else training.data,
        _size(listing),
        _short_licence(listing),
        _STATES[listing.state][1] + _UNSEEN * (not listing.is_seen),
    )


def _detail_lines(listing: Listing, width: int) -> Iterator[Text]:
    """Yield the details of one model."""
    yield Text(listing.name, "bold")
    yield Text(wrap(listing.details, width))
    facts = {
        "state": _STATES[listing.state][0],
        "masks": listing.masks or "none: a backbone",
        "trained on": "" if listing.training is None else listing.training.data,
        "weights": "seen" if listing.is_seen else "not seen where they are offered",
        "folder": str(listing.folder or ""),
        "size": _size(listing),
        "licence": listing.licence or "not stated",
        "figures": ", ".join(f"{metric} {value:g}" for metric, value in listing.figures.items()),
        "published in": listing.figures_from or "",
    }
    if listing.state == "packaged":
        facts["card"] = f"{CARD_FILE} in that folder"
    yield Text()
    for label, fact in facts.items():
        if fact:
            line = f"{label + ':':<{_LABEL_WIDTH}}{fact}"
            yield Text(wrap(line, width, subsequent_indent=" " * _LABEL_WIDTH))
    yield from _file_lines(listing.downloads, width)
    if listing.notice is not None:
        yield Text()
        yield Text(wrap(listing.notice, width), "yellow")


def _file_lines(files: Sequence[HubFile], width: int) -> Iterator[Text]:
    """Yield the files to download: a group for each repository with its licence, then the files."""
    for (repository, revision), group in groupby(
        files, key=lambda file: (file.repository, file.revision)
    ):
        of_group = list(group)
        yield Text(f"\nhttps://huggingface.co/{repository}")
        yield Text(f"  revision {revision}")
        yield Text(f"  licence {describe_licence(of_group[0].licence)}")
        yield Text(wrap(f"  file names known from {of_group[0].name_from}", width, "    "))
        column = max(len(file.file) for file in of_group)
        for file in of_group:
            is_hidden = file.is_small and file.size_bytes is None
            size = describe_size(file.size_bytes, is_computed=file.size_is_computed)
            yield Text(f"  {file.file:<{column}}  {'small' if is_hidden else size}")
            if file.sha256:
                yield Text(f"  {'':<4}SHA-256 {file.sha256}")


def _size(listing: Listing) -> str:
    if listing.size_is_known:
        return describe_size(listing.known_bytes, is_computed=listing.size_is_computed)
    # The size of a tokenizer alone would be a misleading lower bound.
    if listing.known_bytes < _SMALLEST_WEIGHTS:
        return "?"
    return f">{describe_size(listing.known_bytes)}"


def _short_licence(listing: Listing) -> str:
    if restrictions([listing.licence]):
        return "non-comm."
    several = (listing.licence or "").count(" AND ") + 1
    # The column has ten characters.
    short = (listing.licence or "not stated").replace("License", "Lic.")
    return f"{several} licences" if several > 1 else short
