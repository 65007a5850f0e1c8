"""`avseg doctor`: check whether this machine can run avseg."""

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    *,
    online: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Check whether this machine can run avseg.

    The checks are: versions of Python and of the libraries, devices, memory, disk and cache,
    FFmpeg's codecs, the packaged models, and which models fit into the memory.

    Args:
        online: Also check whether the Hugging Face Hub can be reached, and the access token.
        json_: Write JSON.

    Returns:
        0 if videos can be segmented, 1 if a check has an error.
    """
    from avseg.diagnosis import check_machine  # loads torch

    checks = list(check_machine(online=online))
    if json_:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        table = Table("check", "status", "found")
        for check in checks:
            found = Text(check.found)
            if check.next_step:
                found.append(f"\nNext step: {check.next_step}", "yellow")
            table.add_row(check.name, Text(check.status, _STYLES[check.status]), found)
        Console().print(table)
    return int(any(check.status == "error" for check in checks))
