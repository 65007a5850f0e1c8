"""Check of all subsets in a folder: finds their layouts and collects the findings of each."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
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
from avseg.datasets.files import is_file
from avseg.datasets.layout import LAYOUTS, ClipEntry, Release, Subset
from avseg.datasets.metadata import find_metadata
from avseg.datasets.other_data_sets import recognise_other
from avseg.datasets.parallel import map_in_processes
from avseg.errors import DatasetError

#: Number of folder levels below the given one that are searched for subsets.
_DEPTH = 2

#: Folders of frames, by which a release is recognized even without its metadata.
_FRAMES: dict[Release, tuple[str, ...]] = {
    "s4": ("s4_data/visual_frames",),
    "ms3": ("ms3_data/visual_frames",),
    "avss": LAYOUTS["avss"].components,
}
#: Folders of files of a subset; no other subset is inside them.
_NOT_SEARCHED = {Path(name).parts[0] for names in _FRAMES.values() for name in names}

#: Negative audio of AVSBench-Robust for each release.
_NEGATIVES: dict[Release, tuple[Subset, ...]] = {
    "s4": ("s4_misaligned", "s4_noise", "s4_silent"),
    "ms3": ("ms3_misaligned", "ms3_noise", "ms3_silent"),
    "avss": (),
}


@dataclass(frozen=True)
class _ClipFiles:
    """Where the files of one clip are.

    Attributes:
        subset: Subset of the clip.
        folder: Folder of the subset.
        audio_folder: Folder that the audio pattern is relative to.
        entry: Metadata of the clip.
        class_names: Class names in label2idx.json; None if it cannot be read.
    """

    subset: Subset
    folder: Path
    audio_folder: Path
    entry: ClipEntry
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class _CheckedClip:
    """Result of the check of one clip.

    Attributes:
        files: Files of the clip.
        findings: Problems found.
        content: Hash of its first frame and audio, for finding duplicates; None if one is missing.
    """

    files: _ClipFiles
    findings: list[Finding]
    content: str | None


def check_data(
    root: str | PathLike[str],
    workers: int | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Find missing, broken and mislabelled files of a data set in AVSBench's layout.

    Every file is read, in the same way as by `AVSBench`.

    Args:
        root: Folder of a subset, or one that contains subsets, up to two folders deep.
        workers: Number of processes; None for one per core. Unless it is 1, a script must call
            this function below `if __name__ == "__main__":`, since each process imports it.
        on_clip: Called after each clip with the number of checked clips and their total.

    Returns:
        Report with the findings of each subset.

    Raises:
        DatasetError: If the folder contains no data set.
        ValueError: If `workers` is less than 1.
    """
    root = Path(root)
    report = CheckReport(root)
    clips: list[_ClipFiles] = []
    others: list[Path] = []
    for release, folder in _find_releases(root, others):
        if not (folder / LAYOUTS[release].metadata).is_file():
            path = folder / LAYOUTS[release].metadata
            report.findings[release].append(Finding("table-missing", path))
            continue
        clips += _check_release(release, folder, report)
    _report_others(others, report)
    if not report.clips and not report.findings:
        names = ", ".join(LAYOUTS[release].metadata for release in get_args(Release))
        raise DatasetError(
            f"{root}: contains no data set, and neither do its folders, {_DEPTH} levels deep; pass "
            f"a folder with one of the metadata files {names}."
        )
    # Clips with the same content are found by hash, since comparing all pairs would be too slow.
    contents: dict[tuple[Subset, Path, str], list[_ClipFiles]] = defaultdict(list)
    with closing(map_in_processes(_check_clip, clips, workers)) as results:
        for done, checked in enumerate(results, start=1):
            report.findings[checked.files.subset] += checked.findings
            if checked.content is not None:
                files = checked.files
                contents[files.subset, files.folder, checked.content].append(files)
            if on_clip is not None:
                on_clip(done, len(clips))
    for (subset, *_), same in contents.items():
        report.findings[subset] += _check_duplicate_content(same)
    return report


def _report_others(others: list[Path], report: CheckReport) -> None:
    """Add findings for data sets of other tasks; raise an error if there is nothing else."""
    named = [(folder, str(recognise_other(folder))) for folder in others]
    if named and not report.clips and not report.findings:
        folder, name = named[0]
        raise DatasetError(
            f"{folder}: is {name}, which avseg does not read; pass a folder in AVSBench's layout."
        )
    for folder, name in named:
        subset = next(iter(report.findings))
        report.findings[subset].append(Finding("other-data-set", folder, name))


def _find_releases(root: Path, others: list[Path]) -> Iterator[tuple[Release, Path]]:
    """Yield each release below a folder, level by level, with its folder.

    Folders of data sets of other tasks are added to `others`, and not searched.
    """
    releases: tuple[Release, ...] = get_args(Release)
    folders = [root]
    for _ in range(_DEPTH + 1):
        inner: list[Path] = []
        for folder in folders:
            if recognise_other(folder) is not None:
                others.append(folder)
                continue
            for release in releases:
                names = (LAYOUTS[release].metadata, *_FRAMES[release])
                if any((folder / name).exists() for name in names):
                    yield release, folder
            inner += _folders_in(folder)
        folders = inner


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # The folder v3 of AVSS has a copy of AVSS's metadata, but no clips.
    is_v3 = (folder / LAYOUTS["avss"].metadata).is_file()
    skipped = _NOT_SEARCHED | ({"v3"} if is_v3 else set())
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.name not in skipped and not path.name.startswith(".")
    )


def _check_release(release: Release, folder: Path, report: CheckReport) -> list[_ClipFiles]:
    """Check the metadata and the folders of a release; return the clips still to be checked."""
    layout = LAYOUTS[release]
    checked = check_metadata(folder, release)
    report.findings[release] += checked.findings
    _count(report, release, checked.entries)
    # With unreadable metadata every file would be reported as stray.
    if "table-unreadable" not in {finding.kind for finding in checked.findings}:
        report.findings[release] += check_strays(layout, folder, checked.entries)
    if release == "avss":
        _check_v3(folder, checked.entries, report)
    # Clips of unknown splits are never read. The paths of some layouts do not contain the split, so
    # that a clip in two splits has the same files; these are checked once.
    known = [entry for entry in checked.entries if entry.split in SPLITS]
    entries = list({layout.path(layout.frame, folder, entry): entry for entry in known}.values())
    clips = [_ClipFiles(release, folder, folder, entry, checked.class_names) for entry in entries]
    for subset in _NEGATIVES[release]:
        negatives = _negative_clips(subset, folder, entries)
        if negatives:
            clips += negatives
            _count(report, subset, [files.entry for files in negatives])
    return clips


def _check_v3(folder: Path, known: list[ClipEntry], report: CheckReport) -> None:
    try:
        find_metadata(folder, "v3")
    except DatasetError:  # AVSS without AVS-V3
        return
    checked = check_metadata(folder, "v3")
    report.findings["v3"] += checked.findings
    report.findings["v3"] += check_listed(checked.entries, known, folder)
    _count(report, "v3", checked.entries)


def _negative_clips(subset: Subset, folder: Path, entries: list[ClipEntry]) -> list[_ClipFiles]:
    """List the clips that should have negative audio: those of the splits with a folder for it."""
    layout = LAYOUTS[subset]
    audio_folder = layout.audio_folder(folder)
    fixed, _, variable = layout.audio.partition("/{")
    if not variable:  # one file for all clips
        entries = entries[:1] if (audio_folder / fixed).exists() else []
    else:
        entries = [entry for entry in entries if (audio_folder / fixed / entry.split).exists()]
    return [_ClipFiles(subset, folder, audio_folder, entry, None) for entry in entries]


def _check_clip(files: _ClipFiles) -> _CheckedClip:
    """Check the files of one clip; called in a worker process."""
    layout, entry = LAYOUTS[files.subset], files.entry
    audio = layout.path(layout.audio, files.audio_folder, entry)
    if files.subset == layout.release:
        findings = list(check_images(layout, files.folder, entry, files.class_names))
        findings += check_audio(audio, entry.seconds)
        first = layout.path(layout.frame, files.folder, entry)
        return _CheckedClip(files, findings, _digest(first, audio))
    if files.subset.endswith("_silent"):
        return _CheckedClip(files, list(check_silence(audio, entry.seconds)), None)
    original = LAYOUTS[layout.release]
    own = original.path(original.audio, files.folder, entry)
    return _CheckedClip(files, list(check_negative_audio(audio, own, entry.seconds)), None)


def _digest(*paths: Path) -> str | None:
    if not all(is_file(path) for path in paths):
        return None
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _check_duplicate_content(clips: list[_ClipFiles]) -> Iterator[Finding]:
    if len(clips) < 2:
        return
    splits = sorted({files.entry.split for files in clips})
    names = " and ".join(files.entry.name for files in clips)
    layout, first = LAYOUTS[clips[0].subset], clips[0]
    path = layout.path(layout.frame, first.folder, first.entry)
    if len(splits) > 1:
        yield Finding("same-content-in-two-splits", path, f"{names} ({', '.join(splits)})")
    else:
        yield Finding("same-content", path, names)


def _count(report: CheckReport, subset: Subset, entries: Iterable[ClipEntry]) -> None:
    before = Counter(report.clips.get(subset, {}))
    report.clips[subset] = dict(before + Counter(entry.split for entry in entries))
