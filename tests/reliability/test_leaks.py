"""Many clips through one segmenter: its memory does not grow."""

import resource
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from avseg.batch import SegmentOptions, segment_to_folder
from avseg.segmenter import Segmenter, load_segmenter
from tests.models.factories import TPAVI
from tests.reliability.outcomes import OTHER, Outcome, Table
from tests.reliability.videos import FORMS, write_clip
from tests.reliability.workers import try_each
from tests.segmenters import save_random_baseline

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

#: Share of the clips after which buffers, caches and the heap have their size.
_WARM_UP = 1 / 3
#: Growth that is not a leak: one page of 4 kB for each clip would be 1.2 MB in 300 clips.
_LIMIT_MB = 1.0


def resident_mb() -> float:
    """Return the memory of this process that is not shared with files, in MB."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize() / 1e6


def measure(segmenter: Segmenter, videos: list[Path], folder: Path) -> Outcome:
    """Segment videos one after the other, and compute how much the memory grows."""
    sizes_mb = []
    for number, video in enumerate(videos):
        segment_to_folder(segmenter, video, folder / str(number), SegmentOptions(silent_ok=True))
        sizes_mb.append(resident_mb())
    measured = np.array(sizes_mb[round(_WARM_UP * len(videos)) :])
    # A line through all sizes: the first and the last alone would contain the noise of the heap.
    slope, _ = np.polyfit(np.arange(len(measured)), measured, 1)
    grown = slope * (len(measured) - 1)
    detail = f"{grown:+.2f} MB over {len(measured)} clips, at {measured[-1]:.0f} MB"
    return Outcome("no growth" if grown < _LIMIT_MB else OTHER, detail)


def test_a_segmenter_does_not_grow(
    tmp_path: Path, scaled: Callable[..., int], publish: Callable[[Table, str], None]
) -> None:
    count = scaled(300, at_least=18)
    # Every form comes six times at least, so that the warm-up has each of them twice.
    forms = FORMS[: count // 6]
    clips = [
        write_clip(form, tmp_path / f"{number}.{form.suffix}") for number, form in enumerate(forms)
    ]
    folder = save_random_baseline(tmp_path / "model", TPAVI)
    segmenter = load_segmenter(folder, "cpu")
    videos = list(islice(cycle(clips), count))
    ((_, outcome),) = try_each(
        lambda videos: measure(segmenter, videos, tmp_path / "out"), [videos], limit_s=3600
    )
    table = Table("Memory of one segmenter over many clips", ("no growth", OTHER))
    table.add(f"{len(videos)} clips of {len(forms)} forms", outcome)
    table.notes.append(
        f"Resident memory without files after each clip, after a warm-up of {_WARM_UP:.0%} of the "
        f"clips, by a least-squares line: {outcome.detail}."
    )
    publish(table, "leaks")
    assert outcome.kind == "no growth", outcome.detail
