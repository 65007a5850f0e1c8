"""Walk a data set: which layouts are there, and what is wrong with each."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import get_args

from avseg.datasets.checking.audio import check_audio, check_negative_audio, check_silence
from avseg.datasets.checking.findings import Finding
from avseg.datasets.checking.images import check_images
from avseg.datasets.checking.metadata import SPLITS, check_listed, check_metadata
from avseg.datasets.checking.report import CheckReport
from avseg.datasets.checking.strays import check_strays
from avseg.datasets.layout import LAYOUTS, ClipEntry, Release, Subset
from avseg.datasets.metadata import find_metadata
from avseg.datasets.parallel import map_in_processes
from avseg.errors import DatasetError

#: How deep below the given folder data sets are looked for.
_DEPTH = 2

#: Folders of frames, by which a release is known even without its table.
_FRAMES: dict[Release, tuple[str, ...]] = {
    "s4": ("s4_data/visual_frames",),
    "ms3": ("ms3_data/visual_frames",),
    "avss": LAYOUTS["avss"].components,
}
_NOT_ENTERED = {Path(name).parts[0] for names in _FRAMES.values() for name in names}

_NEGATIVES: dict[Release, tuple[Subset, ...]] = {
    "s4": ("s4_misaligned", "s4_noise", "s4_silent"),
    "ms3": ("ms3_misaligned", "ms3_noise", "ms3_silent"),
    "avss": (),
}


@dataclass(frozen=True)
class _Job:
    """The files of one clip.

    Attributes:
        subset: Which subset it is of.
        folder: The subset's folder.
        audio_folder: What the pattern of its sound is relative to.
        entry: The clip.
        class_count: Classes in label2idx.json; None if that cannot be read.
    """

    subset: Subset
    folder: Path
    audio_folder: Path
    entry: ClipEntry
    class_count: int | None


@dataclass(frozen=True)
class _Checked:
    """A clip that was looked at.

    Attributes:
        job: The clip.
        findings: What is wrong.
        content: Digest of its first frame and sound; None if one is missing.
    """

    job: _Job
    findings: list[Finding]
    content: str | None


def check_data(
    root: str | PathLike[str],
    workers: int | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Look for everything that is missing, broken or mislabelled in a data set.

    Every file is read as the reader would read it.

    Args:
        root: The folder of a subset, or one that holds some, up to two folders deep.
        workers: Processes; by default one for each core.
        on_clip: Called with how many clips were looked at, and of how many.

    Returns:
        What was found.

    Raises:
        DatasetError: If no data set is there.
        ValueError: If there are no workers.
    """
    root = Path(root)
    report = CheckReport(root)
    jobs: list[_Job] = []
    for release, folder in _find_releases(root):
        if not (folder / LAYOUTS[release].metadata).is_file():
            path = folder / LAYOUTS[release].metadata
            report.findings[release].append(Finding("table-missing", path))
            continue
        jobs += _check_release(release, folder, report)
    if not report.clips and not report.findings:
        tables = ", ".join(LAYOUTS[release].metadata for release in get_args(Release))
        raise DatasetError(
            f"{root}: holds no data set, nor do the folders in it, {_DEPTH} deep; each has one of "
            f"the tables {tables}."
        )
    contents: dict[tuple[Subset, Path, str], list[_Job]] = defaultdict(list)
    for done, checked in enumerate(map_in_processes(_check_clip, jobs, workers), start=1):
        report.findings[checked.job.subset] += checked.findings
        if checked.content is not None:
            job = checked.job
            contents[job.subset, job.folder, checked.content].append(job)
        if on_clip is not None:
            on_clip(done, len(jobs))
    for (subset, *_), same in contents.items():
        report.findings[subset] += _check_same(same)
    return report


def _find_releases(root: Path) -> Iterator[tuple[Release, Path]]:
    releases: tuple[Release, ...] = get_args(Release)
    folders = [root]
    for _ in range(_DEPTH + 1):
        inner: list[Path] = []
        for folder in folders:
            for release in releases:
                wanted = (LAYOUTS[release].metadata, *_FRAMES[release])
                if any((folder / name).exists() for name in wanted):
                    yield release, folder
            inner += _folders_in(folder)
        folders = inner


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # Tables of AVS-V3 come with a copy of AVSS's in a folder of their own.
    is_v3 = (folder / LAYOUTS["avss"].metadata).is_file()
    left_out = _NOT_ENTERED | ({"v3"} if is_v3 else set())
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.name not in left_out and not path.name.startswith(".")
    )


def _check_release(release: Release, folder: Path, report: CheckReport) -> list[_Job]:
    """Check the tables and the folders of a release; return what is to be done for its clips."""
    layout = LAYOUTS[release]
    checked = check_metadata(folder, release)
    report.findings[release] += checked.findings
    _count(report, release, checked.entries)
    if "table-unreadable" not in {finding.kind for finding in checked.findings}:
        report.findings[release] += check_strays(layout, folder, checked.entries)
    if release == "avss":
        _check_v3(folder, checked.entries, report)
    # Clips of unknown splits are never read. Where folders have no split in their name, a clip of
    # two splits has one set of files.
    read = [entry for entry in checked.entries if entry.split in SPLITS]
    clips = list({layout.path(layout.frame, folder, entry): entry for entry in read}.values())
    jobs = [_Job(release, folder, folder, entry, checked.class_count) for entry in clips]
    for subset in _NEGATIVES[release]:
        negatives = _negative_jobs(subset, folder, clips)
        if negatives:
            jobs += negatives
            _count(report, subset, [job.entry for job in negatives])
    return jobs


def _check_v3(folder: Path, known: list[ClipEntry], report: CheckReport) -> None:
    try:
        find_metadata(folder, "v3")
    except DatasetError:  # AVSS alone
        return
    checked = check_metadata(folder, "v3")
    report.findings["v3"] += checked.findings
    report.findings["v3"] += check_listed(checked.entries, known, folder)
    _count(report, "v3", checked.entries)


def _negative_jobs(subset: Subset, folder: Path, clips: list[ClipEntry]) -> list[_Job]:
    """List the clips that a set of negative sounds has: all of the splits that are there."""
    layout = LAYOUTS[subset]
    audio_folder = layout.audio_folder(folder)
    fixed, _, variable = layout.audio.partition("/{")
    if not variable:  # one file for all clips
        clips = clips[:1] if (audio_folder / fixed).exists() else []
    else:
        clips = [clip for clip in clips if (audio_folder / fixed / clip.split).exists()]
    return [_Job(subset, folder, audio_folder, clip, None) for clip in clips]


def _check_clip(job: _Job) -> _Checked:
    """Check the files of one clip; runs in a worker process."""
    layout, entry = LAYOUTS[job.subset], job.entry
    sound = layout.path(layout.audio, job.audio_folder, entry)
    if job.subset == layout.release:
        findings = list(check_images(layout, job.folder, entry, job.class_count))
        findings += check_audio(sound, entry.seconds)
        first = layout.path(layout.frame, job.folder, entry)
        return _Checked(job, findings, _digest(first, sound))
    if job.subset.endswith("_silent"):
        return _Checked(job, list(check_silence(sound, entry.seconds)), None)
    original = LAYOUTS[layout.release]
    true = original.path(original.audio, job.folder, entry)
    return _Checked(job, list(check_negative_audio(sound, true, entry.seconds)), None)


def _digest(*paths: Path) -> str | None:
    if not all(path.is_file() for path in paths):
        return None
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _check_same(jobs: list[_Job]) -> Iterator[Finding]:
    if len(jobs) < 2:
        return
    splits = sorted({job.entry.split for job in jobs})
    names = " and ".join(job.entry.name for job in jobs)
    layout, first = LAYOUTS[jobs[0].subset], jobs[0]
    path = layout.path(layout.frame, first.folder, first.entry)
    if len(splits) > 1:
        yield Finding("same-content-in-two-splits", path, f"{names} ({', '.join(splits)})")
    else:
        yield Finding("same-content", path, names)


def _count(report: CheckReport, subset: Subset, entries: Iterable[ClipEntry]) -> None:
    before = Counter(report.clips.get(subset, {}))
    report.clips[subset] = dict(before + Counter(entry.split for entry in entries))
