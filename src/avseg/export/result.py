"""One folder of results for each video: masks, overlay and a `result.json` that says it all.

The folder appears under its name only when everything in it is complete. `result.json` is
written frame by frame, so the length of the video does not matter; each frame is one line:

    {"schema_version": 1, "fingerprint": ..., "video": {...},
     "model": {"name": ..., "sha256": ...}, "settings": {...}, "frames": [
     {"index": 0, "time_s": 0.92, "score": 0.9, "area": 0.08, "area_pixels": 24576,
      "box": [x, y, width, height], "rle": {"size": [height, width], "counts": "..."}},
     ...
     ], "summary": {...}, "status": "complete"}

`area` is the marked share of the picture; `box` is in pixels from the top left corner, null
when nothing is marked; `rle` is COCO's, at the video's own size; `index` is also the number of
the mask's PNG. A model that names what sounds adds to each frame the sources that are marked in it,
the best score first, and `value` is what their pixels hold in the PNG unless a better one covers
them:

      "sources": [{"name": "dog", "value": 1, "score": 0.9, "area": ..., "area_pixels": ...,
                   "box": ..., "rle": ...}]
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError
from avseg.export import rle
from avseg.export.labels import SourceNumbers
from avseg.export.overlay import open_overlay
from avseg.export.png import MaskWriter
from avseg.types import NamedSource, Segmentation, VideoInfo

SCHEMA_VERSION = 1
RESULT_NAME = "result.json"
OVERLAY_NAME = "overlay.mp4"
MASKS_NAME = "masks"

Setting = str | int | float | bool | list[str] | None


@dataclass(frozen=True)
class ResultKey:
    """All that decides a result: which video, which weights, which settings.

    Attributes:
        video: Facts of the video, as `probe` gives them.
        model_sha256: Of the model's weights, in hexadecimal.
        settings: What the user chose (threshold, frames per second, ...), by name.
        overlay: Whether an overlay is wanted.
    """

    video: VideoInfo
    model_sha256: str
    settings: Mapping[str, Setting]
    overlay: bool = True

    def fingerprint(self) -> str:
        """Condense the run to a text that differs when the result may differ.

        The video counts by name, size and time of last change, so that a thousand finished
        videos are passed over without being read.

        Returns:
            64 hexadecimal digits.

        Raises:
            OutputError: If the video is not there (any more).
        """
        path = Path(self.video.path)
        try:
            facts = path.stat()
        except OSError as error:
            raise OutputError(f"{path}: the video is gone ({error.strerror}).") from error
        decisive = {
            "schema_version": SCHEMA_VERSION,
            "video": [path.name, facts.st_size, facts.st_mtime_ns],
            "model_sha256": self.model_sha256,
            "settings": dict(self.settings),
            "overlay": self.overlay,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ResultSummary:
    """What a finished result folder holds, in a line.

    Attributes:
        frame_count: How many frames were segmented.
        duration_s: How long the video is, in seconds.
        sounding_s: For how many of these seconds something is marked; each frame stands for an
            equal share of them.
        area: Mean share of the picture that is marked, over the frames in which something is.
        score: Mean score of these frames; like the area 0 when there are none.
        sound: What happened to the sound in the overlay ("copied (aac)", ...); None without one.
        sources: For how many seconds each named source is marked, in the order of their values in
            the masks; None if the model names nothing.
    """

    frame_count: int
    duration_s: float
    sounding_s: float
    area: float
    score: float
    sound: str | None
    sources: dict[str, float] | None = None


def write_result(
    segmentations: Iterable[Segmentation], folder: str | Path, key: ResultKey
) -> ResultSummary:
    """Write masks, overlay and `result.json` of one video while it is being segmented.

    A result of the same video in the folder is replaced when the new one is complete, and stays
    when the new one fails. That of another video that is still there is never replaced.

    Args:
        segmentations: The video's chunks in order; taken one by one as they are made.
        folder: The folder to make, one for each video.
        key: What the result is made from.

    Returns:
        What the folder holds.

    Raises:
        ClipError: If the video cannot be read; raised by the segmentations.
        OutputError: If the folder holds something else than a result of this video, or cannot be
            written, or the video has no frames.
    """
    folder = Path(folder)
    _refuse_foreign_files(folder)
    _refuse_another_video(folder, Path(key.video.path))
    with replace_when_complete(folder) as partial:
        masks = MaskWriter(partial / MASKS_NAME)
        with _Record(partial / RESULT_NAME, key) as record, ExitStack() as stack:
            overlay = (
                stack.enter_context(open_overlay(key.video, partial / OVERLAY_NAME))
                if key.overlay
                else None
            )
            for segmentation in segmentations:
                masks.write(segmentation)
                record.write(segmentation)
                if overlay is not None:
                    overlay.write(segmentation)
            return record.finish(sound=overlay.sound if overlay is not None else None)


def find_result(folder: str | Path, key: ResultKey) -> ResultSummary | None:
    """Look whether a run has been done before.

    Args:
        folder: The folder its result would be in.
        key: What the result would be made from.

    Returns:
        What the folder holds if it is the complete result of this very run, else None.

    Raises:
        OutputError: If the run's video is not there (any more).
    """
    folder = Path(folder)
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        found = result["fingerprint"], result["status"], ResultSummary(**result["summary"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing there, or nothing that this version wrote
    fingerprint, status, summary = found
    masks = sum(1 for _ in (folder / MASKS_NAME).glob("*.png"))
    complete = (
        status == "complete"
        and masks == summary.frame_count
        and (folder / OVERLAY_NAME).exists() == key.overlay
    )
    return summary if complete and fingerprint == key.fingerprint() else None


class _Record:
    """Writes `result.json` line by line, and keeps two numbers of each frame."""

    #: Marked frames of each source so far, None if the model names nothing.
    _source_frames: dict[str, int] | None = None

    def __init__(self, path: Path, key: ResultKey) -> None:
        self._key = key
        self._fingerprint = key.fingerprint()
        self._file = path.open("w", encoding="utf-8")
        self._scores: list[float] = []
        self._areas: list[float] = []
        self._numbers = SourceNumbers()

    def __enter__(self) -> "_Record":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, segmentation: Segmentation) -> None:
        for k, (_, marked) in enumerate(self._numbers.label(segmentation)):
            before = ",\n" if self._areas else self._head(segmentation.model)
            line = self._frame(segmentation, k)
            if segmentation.sources is not None:
                line["sources"] = self._sources(marked, k)
            self._file.write(before + json.dumps(line, allow_nan=False))

    def finish(self, sound: str | None) -> ResultSummary:
        if not self._areas:
            raise OutputError(
                f"{self._key.video.path}: the segmentation has no frames, so there is no result."
            )
        summary = self._summarise(sound)
        facts = asdict(summary)
        if summary.sources is None:
            del facts["sources"]
        tail = {"summary": facts, "status": "complete"}
        self._file.write(f"\n], {json.dumps(tail, allow_nan=False)[1:]}\n")
        return summary

    def _head(self, model: str) -> str:
        head = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": self._fingerprint,
            "video": asdict(self._key.video),
            "model": {"name": model, "sha256": self._key.model_sha256},
            "settings": dict(self._key.settings),
        }
        return f'{json.dumps(head, allow_nan=False)[:-1]}, "frames": [\n'

    def _frame(self, segmentation: Segmentation, k: int) -> dict[str, Any]:
        facts = _describe(segmentation.masks[k], segmentation.scores[k])
        index = len(self._areas)
        self._scores.append(float(segmentation.scores[k]))
        self._areas.append(facts["area_pixels"] / segmentation.masks[k].size)
        return {"index": index, "time_s": round(float(segmentation.frame_times[k]), 6)} | facts

    def _sources(self, marked: list[NamedSource], k: int) -> list[dict[str, Any]]:
        frames = self._source_frames = self._source_frames or {}
        for source in marked:
            frames[source.name] = frames.get(source.name, 0) + 1
        return [
            {"name": source.name, "value": self._numbers.of[source.name]}
            | _describe(source.masks[k], source.scores[k])
            for source in marked
        ]

    def _summarise(self, sound: str | None) -> ResultSummary:
        video = self._key.video
        areas, scores = np.array(self._areas), np.array(self._scores)
        sounding = areas > 0
        return ResultSummary(
            frame_count=len(areas),
            duration_s=round(video.duration_s, 6),
            sounding_s=round(video.duration_s * float(sounding.mean()), 6),
            area=round(float(areas[sounding].mean()), 6) if sounding.any() else 0.0,
            score=round(float(scores[sounding].mean()), 6) if sounding.any() else 0.0,
            sound=sound,
            sources=self._summarise_sources(),
        )

    def _summarise_sources(self) -> dict[str, float] | None:
        if self._source_frames is None:
            return None
        per_frame_s = self._key.video.duration_s / len(self._areas)
        return {name: round(n * per_frame_s, 6) for name, n in self._source_frames.items()}


def _describe(mask: npt.NDArray[np.bool_], score: np.float32) -> dict[str, Any]:
    pixels = int(np.count_nonzero(mask))
    return {
        "score": round(float(score), 6),
        "area": round(pixels / mask.size, 6),
        "area_pixels": pixels,
        "box": rle.bounding_box(mask),
        "rle": rle.encode_mask(mask),
    }


def _refuse_foreign_files(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the results.")
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(names - {RESULT_NAME, OVERLAY_NAME, MASKS_NAME})
    if foreign or (names and RESULT_NAME not in names):
        raise OutputError(
            f"{folder} is not a result folder (it holds {', '.join(foreign or sorted(names))}), "
            "and a result would replace it; choose another output folder."
        )


def _refuse_another_video(folder: Path, video: Path) -> None:
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        other = Path(result["video"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing there, or nothing that this version wrote
    if other.exists() and not other.samefile(video):
        raise OutputError(
            f"{folder} holds the result of another video, {other}, which that of {video} would "
            "replace; choose another output folder."
        )
