"""Mutated videos through the whole path: no crash, no raw exception, no hang, no silent loss."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from avseg.batch import SegmentOptions, segment_to_folder
from avseg.errors import AvsegError
from avseg.segmenter import Segmenter, load_segmenter
from tests.models.factories import TPAVI
from tests.reliability.conftest import SEED
from tests.reliability.mutations import mutate
from tests.reliability.outcomes import CRASH, HALF, HANG, LOSS, RAW, Outcome, Table
from tests.reliability.videos import FORMS, FRAMES, Form, write_clip
from tests.reliability.workers import try_each
from tests.segmenters import save_random_baseline

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

_LIMIT_S = 60
#: Frames that may be missing without a warning, and the share of files that may lack more.
_FEW = 3
_SILENT_SHARE = 0.003
_KINDS = ("complete", "with a warning", "refused", LOSS, RAW, HALF, CRASH, HANG)


@dataclass(frozen=True)
class Case:
    """One mutated clip, made from its number alone."""

    number: int

    @property
    def form(self) -> Form:
        """Container and codecs of the clip."""
        return FORMS[self.number % len(FORMS)]


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of one intact clip of each form, by its name."""
    folder = tmp_path_factory.mktemp("intact")
    return {
        form.name: write_clip(form, folder / f"{number}.{form.suffix}").read_bytes()
        for number, form in enumerate(FORMS)
    }


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """The smallest segmenter that uses the audio."""
    folder = tmp_path_factory.mktemp("models") / "tpavi"
    return load_segmenter(save_random_baseline(folder, TPAVI), "cpu")


def segment(segmenter: Segmenter, data: bytes, form: Form, folder: Path) -> tuple[int, list[str]]:
    """Segment a clip to masks and an overlay; return its frames and warnings, and clean up."""
    folder.mkdir()
    video = folder / f"clip.{form.suffix}"
    video.write_bytes(data)
    options = SegmentOptions(silent_ok=form.audio is None)
    summary = segment_to_folder(segmenter, video, folder / "out", options).summary
    assert summary is not None
    # Every GIF may be transparent.
    return summary.frame_count, [each for each in summary.warnings if "alpha" not in each]


def try_case(case: Case, segmenter: Segmenter, data: bytes, folder: Path) -> Outcome:
    """Segment one mutated clip, and compare its frames with those of the intact one."""
    mutated, description = mutate(data, np.random.default_rng([SEED, case.number]))
    own = folder / str(case.number)
    try:
        frames, warnings = segment(segmenter, mutated, case.form, own)
        if warnings:
            return Outcome("with a warning")
        if frames < FRAMES - _FEW:
            reason = explain_loss(own / f"clip.{case.form.suffix}", frames)
            detail = f"case {case.number}, {description}: {frames} of {FRAMES} frames; {reason}"
            return Outcome(LOSS, detail)
        return Outcome("complete")
    except AvsegError as error:
        left = [path.name for path in own.iterdir() if not path.name.startswith("clip.")]
        if left and any((own / "out").iterdir()):
            return Outcome(HALF, f"case {case.number}, {description}: {left} after {error}")
        return Outcome("refused")
    finally:
        shutil.rmtree(own, ignore_errors=True)


def explain_loss(video: Path, frames: int) -> str:
    """Explain a silent loss by the packets that the damaged file still has."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        announced = stream.frames
        packets = [packet for packet in container.demux(stream) if packet.size]
    if len(packets) == frames and not any(packet.is_corrupt for packet in packets):
        return f"the damaged file is a sound file of {frames} packets (announces {announced})"
    return f"UNEXPLAINED: {len(packets)} packets, {announced} frames announced"


def test_intact_clips_are_segmented_whole(
    intact: dict[str, bytes], segmenter: Segmenter, tmp_path: Path
) -> None:
    def read(number: int) -> Outcome:
        form = FORMS[number]
        return Outcome(str(segment(segmenter, intact[form.name], form, tmp_path / str(number))))

    for number, outcome in try_each(read, range(len(FORMS)), _LIMIT_S):
        assert outcome.kind == str((FRAMES, [])), f"{FORMS[number].name}: {outcome}"


def test_mutated_videos_are_segmented_or_refused(
    intact: dict[str, bytes],
    segmenter: Segmenter,
    tmp_path: Path,
    scaled: Callable[..., int],
    publish: Callable[[Table, str], None],
) -> None:
    cases = [Case(number) for number in range(scaled(5000, at_least=len(FORMS)))]
    table = Table("Mutated videos", _KINDS)
    for case, outcome in try_each(
        lambda case: try_case(case, segmenter, intact[case.form.name], tmp_path), cases, _LIMIT_S
    ):
        table.add(case.form.name, outcome)
    publish(table, "videos")
    assert table.total(CRASH, HANG, RAW, HALF) == 0, table.to_markdown()
    # One, since a share of a few files is less than one file.
    assert table.total(LOSS) <= max(1, _SILENT_SHARE * len(cases)), table.to_markdown()
