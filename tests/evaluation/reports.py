"""Reports with chosen scores, made without a model."""

from dataclasses import replace

from avseg.evaluation.report import Report
from avseg.evaluation.robustness import FollowingScores
from avseg.evaluation.scores import ClipScores, ConditionScores
from avseg.metrics import BinaryScores
from avseg.metrics.protocol_table import PROTOCOLS

MUTED = ConditionScores(
    marked_frames=0.2,
    marked_area=0.01,
    j_condition=0.8,
    j_own_sounding=0.3,
    f_own_sounding=0.4,
    silenced_marked=0.25,
    iou_with_original=0.5,
)

BASELINE = BinaryScores(
    j=0.3,
    j_sounding=0.0,
    j_strict=0.3,
    f=0.0,
    f_at_threshold=0.0,
    dataset_iou=0.0,
    dataset_miou=0.4,
    silent_clean=1.0,
    false_positive_area=0.0,
    clip_count=2,
    frame_count=10,
    silent_count=3,
)


def clip_of(number: int, j: float, silent_frames: int = 0) -> ClipScores:
    """Return a clip of 5 frames: one J in all that are not silent, no mask in silent ones."""
    sounding = silent_frames < 5
    mean = (j * (5 - silent_frames) + silent_frames) / 5
    return ClipScores(
        clip_id=f"clip-{number}",
        categories=("dog",) if number % 2 else ("dog", "cat"),
        j=mean,
        j_sounding=j if sounding else None,
        j_strict=mean,
        f=j if sounding else 0.0,
        f_at_threshold=j if sounding else None,
        dataset_iou=j if sounding else None,
        silent_clean=1.0 if silent_frames else None,
        false_positive_area=0.0 if silent_frames else None,
        frames=5,
        silent_frames=silent_frames,
        union_pixels=100 if sounding else 0,
        conditions={"muted": MUTED},
    )


def report_of(*clips: ClipScores, model: str = "small") -> Report:
    """Return a report of these clips."""
    return Report(
        model=model,
        weights_sha256="ab" * 32,
        vocabulary=(),
        data="data/Multi-sources",
        subset="ms3",
        split="test",
        threshold=0.5,
        clips=clips,
        protocols={name: {"j": 0.7, "f": 0.8} for name in PROTOCOLS},
        f_curve=tuple(0.5 for _ in range(255)),
        semantic=None,
        baselines={"nothing": BASELINE},
        following=FollowingScores(0.95, 0.7, 0.05, scene_count=4, frame_count=40),
        seconds=12.3,
        environment={"commit": None, "device": "cpu"},
    )


#: Two clips, one of them half silent.
REPORT = report_of(clip_of(0, 0.6), clip_of(1, 0.8, silent_frames=3))

#: A report with enough clips for intervals.
LONG_REPORT = report_of(*(clip_of(n, 0.5 + 0.02 * n, n % 3) for n in range(20)))


def better(report: Report, by: float, model: str = "better") -> Report:
    """Return the report of a model with a higher J in each clip."""
    clips = tuple(replace(c, j=c.j + by, j_strict=c.j_strict + by) for c in report.clips)
    return replace(report, clips=clips, model=model)
