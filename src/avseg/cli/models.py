"""`avseg models`: what a name can be given for."""

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from avseg.checkpoints import Listing, list_models
from avseg.checkpoints.cache import cache_folder
from avseg.checkpoints.known_models import describe_size


def models(*, json_: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """List the models: what they are, their licences and figures, and which are here.

    A model that is not here is downloaded when it is first used: `avseg segment --model NAME`. The
    figures are those that its authors published, on AVSBench's test splits (AV2T-SAM) or for
    referring expressions (EVF-SAM). What is fetched by hand marks nothing by itself: recipes start
    from it.

    Args:
        json_: Write JSON, with the files to download and where all of this is known from.
    """
    listings = list_models()
    if json_:
        print(json.dumps([asdict(listing) for listing in listings], indent=2, default=str))
        return
    narrow = [Column(name, no_wrap=True) for name in ("here", "size", "licence", "figures")]
    table = Table("model", *narrow, box=SIMPLE_HEAD, show_lines=True)
    for listing in listings:
        figures = (f"{measure} {value:g}" for measure, value in listing.figures.items())
        table.add_row(
            Text.assemble((listing.name, "bold"), "\n", listing.what),
            {"downloadable": "to download"}.get(listing.state, listing.state),
            _size(listing),
            listing.licence or "not stated",
            "\n".join(figures) or {"by hand": "none"}.get(listing.state, "see its card"),
        )
    console = Console()
    console.print(table)
    for source in dict.fromkeys(filter(None, (listing.figures_from for listing in listings))):
        console.print(Text(f"Figures: {source}."))
    console.print(Text(f"Models are kept in {cache_folder()}."))


def _size(listing: Listing) -> str:
    if listing.size_is_known:
        return describe_size(listing.known_bytes)
    return f"{describe_size(listing.known_bytes)} + ?" if listing.known_bytes else "?"
