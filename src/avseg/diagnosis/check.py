"""Result of one check of a machine or a model."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: What was checked.
        status: "ok", "warning" if some uses fail, "error" if segmentation fails.
        found: What was found.
        next_step: What to do; empty if the status is "ok".
    """

    name: str
    status: Literal["ok", "warning", "error"]
    found: str
    next_step: str = ""
