"""What can be wrong with a data set, and how bad it is.

An error is what makes figures wrong or reading fail. A warning is what is known of a release, or
what avseg mends and other code may not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """A way of being wrong.

    Attributes:
        severity: Error or warning.
        meaning: What it does, and what to do about it.
    """

    severity: Severity
    meaning: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: Which of `FINDING_KINDS`.
        path: The file or folder.
        detail: What is special about this one.
        count: How many files or lines it is about.
    """

    kind: str
    path: Path
    detail: str = ""
    count: int = 1


def _error(meaning: str) -> Kind:
    return Kind("error", meaning)


def _warning(meaning: str) -> Kind:
    return Kind("warning", meaning)


FINDING_KINDS: dict[str, Kind] = {
    "table-missing": _error("files of a data set, but no table that names its clips: copy it"),
    "table-unreadable": _error("the table is damaged or lacks a column: copy it again"),
    "row-incomplete": _error("a line does not say which clip it is: copy the table again"),
    "row-duplicate": _error("a clip that is named twice counts twice: remove one line"),
    "split-unknown": _error("no split that AVSBench has, so never read: mend or remove the lines"),
    "split-column": _warning("the column names another split than the file; avseg goes by files"),
    "clip-in-two-splits": _error("trained on and scored on: take it out of one"),
    "video-in-two-splits": _warning("other seconds of one video are in another split"),
    "clip-unlisted": _error("a clip of AVS-V3 that AVSS's metadata.csv does not have"),
    "classes-missing": _error("no label2idx.json, so colours have no names: copy AVSBench's"),
    "classes-numbers": _error("label2idx.json does not count from background 0: use AVSBench's"),
    "class-unlisted": _error("a class that label2idx.json lacks: it belongs to another data set"),
    "name-misspelt": _warning("a known misspelling of AVSBench's, which avseg mends"),
    "off-screen": _warning("clips with a sound that nothing visible makes; part of AVSS"),
    "no-object": _warning("clips in which nothing at all is said to sound; part of AVSS"),
    "frame-missing": _error("unpack or copy the data set again"),
    "frame-broken": _error("the picture ends early or is none: copy it again"),
    "mask-missing": _error("unpack or copy the data set again"),
    "mask-broken": _error("the picture ends early or is none: copy it again"),
    "sound-missing": _error("unpack or copy the data set again"),
    "sound-broken": _error("the sound ends before its header says, or is none: copy it again"),
    "size-differs": _error("frames and masks of a clip must have one size"),
    "size-unusual": _warning("AVSBench's own are 224 x 224, and published figures are of these"),
    "sound-ends-early": _error("frames without any sound: they would be scored as if silent"),
    "sound-short": _warning("the end of the last second is missing; avseg reads it as silence"),
    "sound-long": _warning("longer than the clip by over a second; avseg reads the beginning"),
    "mask-grey": _error("more than one value besides 0: resized or anti-aliased; use AVSBench's"),
    "mask-dithered": _error("dots in place of a surface, from a conversion to one bit; copy again"),
    "mask-not-255": _warning(
        "an object is stored as another value than 255: avseg reads it, AVSBench's own code reads "
        "such a mask as (almost) empty"
    ),
    "label-colour": _error("colours in labels_rgb that are no class read as background"),
    "labels-differ": _error("labels_rgb and labels_semantic say different classes"),
    "same-content": _warning("one clip under two names: the same first frame and sound"),
    "same-content-in-two-splits": _error("one clip under two names, trained on and scored on"),
    "negative-is-true": _error("a negative sound that is the clip's true one: make it again"),
    "silence-sounds": _error("AVSBench-Robust's silent.wav is not silent: make it again"),
    "file-stray": _warning("files that no line of the table accounts for"),
}
