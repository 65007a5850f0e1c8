"""Findings: kinds of problems of a data set, and their severity.

An error makes scores wrong or reading fail. A warning is a known property of a release, or a
problem that avseg corrects but other code may not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class FindingKind:
    """Kind of finding.

    Attributes:
        severity: Error or warning.
        meaning: Effect of the problem, and what to do about it.
    """

    severity: Severity
    meaning: str


@dataclass(frozen=True)
class Finding:
    """One problem of a data set.

    Attributes:
        kind: Key of `FINDING_KINDS`.
        path: File or folder with the problem.
        detail: Values that describe this problem.
        count: Number of affected files or rows.
    """

    kind: str
    path: Path
    detail: str = ""
    count: int = 1


def _error(meaning: str) -> FindingKind:
    return FindingKind("error", meaning)


def _warning(meaning: str) -> FindingKind:
    return FindingKind("warning", meaning)


#: Every kind of finding; the keys are also in reports.
FINDING_KINDS: dict[str, FindingKind] = {
    "table-missing": _error("files of a data set without its metadata file: copy the file"),
    "table-unreadable": _error("metadata file is damaged or lacks a column: copy it again"),
    "row-incomplete": _error("metadata row without name, split or component: copy the file again"),
    "row-duplicate": _error("clip is listed twice and would count twice: remove one row"),
    "split-unknown": _error("split that AVSBench does not have, never read: correct or remove it"),
    "split-column": _warning("column names another split than the file; avseg uses the file"),
    "clip-in-two-splits": _error("clip is used for training and scoring: remove it from one split"),
    "video-in-two-splits": _warning("other seconds of the same video are in another split"),
    "clip-unlisted": _error("clip of AVS-V3 that is not in AVSS's metadata.csv"),
    "classes-missing": _error("no label2idx.json, so colours have no names: copy AVSBench's"),
    "classes-numbers": _error("label2idx.json does not count from background 0: use AVSBench's"),
    "class-unlisted": _error("class that is not in label2idx.json: it is of another data set"),
    "class-unnamed": _error(
        "pixels of a class that the metadata does not name for the clip: they lower the mIoU; "
        "remove them, or correct the metadata"
    ),
    "name-misspelt": _warning("known misspelling in AVSBench, which avseg corrects"),
    "off-screen": _warning("clips with an off-screen sound; this is normal in AVSS"),
    "no-object": _warning("clips without any sounding object; this is normal in AVSS"),
    "frame-missing": _error("unpack or copy the data set again"),
    "frame-broken": _error("image file is truncated or no image: copy it again"),
    "mask-missing": _error("unpack or copy the data set again"),
    "mask-broken": _error("image file is truncated or no image: copy it again"),
    "sound-missing": _error("unpack or copy the data set again"),
    "sound-broken": _error("audio ends before its header announces, or is no audio: copy it again"),
    "size-differs": _error("frames and masks of a clip must have the same size"),
    "size-unusual": _warning("not AVSBench's 224 x 224, for which published scores are computed"),
    "sound-ends-early": _error("frames without any audio, which would be scored as silent frames"),
    "sound-short": _warning("end of the last second is missing; avseg pads it with silence"),
    "sound-long": _warning("more than a second longer than the clip; avseg reads the beginning"),
    "mask-grey": _error("several values besides 0: resized or anti-aliased; use AVSBench's masks"),
    "mask-dithered": _error(
        "dots instead of a surface, from a conversion to one bit: copy it again"
    ),
    "mask-speck": _warning(
        "a few pixels far from every object of the clip, from a slip in annotation: remove them"
    ),
    "mask-not-255": _warning(
        "object is stored with another value than 255: avseg reads it, AVSBench's own code reads "
        "such a mask as (almost) empty"
    ),
    "label-colour": _error("colours in labels_rgb that are no class; they are read as background"),
    "labels-differ": _error("labels_rgb and labels_semantic have different classes"),
    "same-content": _warning("two clips with the same first frame and audio"),
    "same-content-in-two-splits": _error("the same clip, under two names, in training and scoring"),
    "negative-is-true": _error("negative audio equals the clip's own audio: create it again"),
    "silence-sounds": _error("AVSBench-Robust's silent.wav is not silent: create it again"),
    "other-data-set": _warning("data set of another task, which avseg does not read"),
    "file-stray": _warning("files that belong to no row of the metadata"),
}
