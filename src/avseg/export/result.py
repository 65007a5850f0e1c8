"""Result folder of one video: masks, overlay, and `result.json` with all figures.

The folder appears under its name when all of its files are complete. `result.json` is written frame
by frame, so that the memory does not grow with the length of the video; each frame is one line:

    {"schema_version": 1, "fingerprint": ..., "video": {...},
     "model": {"name": ..., "sha256": ..., "licence": ...}, "settings": {...}, "audio": {...},
     "frames": [
     {"index": 0, "time_s": 0.92, "score": 0.9, "area": 0.08, "area_pixels": 24576,
      "box": [x, y, width, height], "rle": {"size": [height, width], "counts": "..."}},
     ...
     ], "summary": {...}, "status": "complete"}

`index` is also the number of the mask's PNG file; `area` is the marked share of the frame; `box` is
in pixels from the top left corner, or null for an empty mask; `rle` is COCO's run-length encoding,
at the size of the video. A model with named sources adds to each frame the sources that have a mask
in it, by descending score. `value` is the value of their pixels in the PNG file, except where a
source with a higher score covers them:

      "sources": [{"name": "dog", "value": 1, "score": 0.9, "area": ..., "area_pixels": ...,
                   "box": ..., "rle": ...}]
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avseg.atomic import OwnFolder, has_marker, replace_when_complete
from avseg.errors import OutputError
from avseg.export import rle
from avseg.export.labels import SourceNumbers
from avseg.export.overlay import open_overlay
from avseg.export.png import MaskWriter
from avseg.media.colour import ColourTags
from avseg.media.tone_mapping import needs_mapping
from avseg.types import SILENCE_DBFS, AudioSelection, NamedSource, Segmentation, VideoInfo

#: Increased when the format of `result.json` changes.
SCHEMA_VERSION = 1
RESULT_NAME = "result.json"
OVERLAY_NAME = "overlay.mp4"
MASKS_NAME = "masks"

#: The folder is replaced as a whole, so anything else in it would be lost.
OWN_FOLDER = OwnFolder(
    "the result of a video",
    has_marker(
        RESULT_NAME, ("schema_version", "fingerprint"), (RESULT_NAME, OVERLAY_NAME, MASKS_NAME)
    ),
)

#: Keys of the summary that are omitted if they have no value, as in results of earlier versions.
_OPTIONAL_KEYS = ("sources", "empty_because", "warnings")

Setting = str | int | float | bool | list[str] | None


@dataclass(frozen=True)
class ResultKey:
    """Everything that determines a result: the video, the weights and the settings.

    Attributes:
        video: Metadata of the video, from `probe`.
        model_sha256: SHA-256 hash of the model's weights, in hexadecimal.
        settings: Options that the user chose (threshold, frames per second, ...), by name.
        overlay: Whether the result includes an overlay.
        audio: The audio tracks that the model uses, which the overlay gets too; None for a choice
            by the overlay. It follows from the video and the settings.
        licence: Licence of the weights, which is recorded; None if not known.
    """

    video: VideoInfo
    model_sha256: str
    settings: Mapping[str, Setting]
    overlay: bool = True
    audio: AudioSelection | None = None
    licence: str | None = None

    def fingerprint(self) -> str:
        """Compute a hash that changes whenever the result may change.

        The video is identified by its name, size and time of last change, so that a batch with
        thousands of finished videos continues without reading them.

        Returns:
            64 hexadecimal digits.

        Raises:
            OutputError: If the video does not exist any more.
        """
        path = Path(self.video.path)
        try:
            facts = path.stat()
        except OSError as error:
            raise OutputError(
                f"{path}: the video cannot be found any more ({error.strerror}); check the path."
            ) from error
        # Hashing a video would take as long as reading it from disk.
        decisive = {
            "schema_version": SCHEMA_VERSION,
            "video": [path.name, facts.st_size, facts.st_mtime_ns],
            "model_sha256": self.model_sha256,
            "settings": dict(self.settings),
            "overlay": self.overlay,
        }
        if _is_converted(self.video):
            decisive["conversion"] = 1  # so that results of version 0.1.0.dev0 are replaced
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ResultSummary:
    """Summary of a complete result folder.

    Attributes:
        frame_count: Number of segmented frames.
        duration_s: Length of the video from its first to the end of its last frame, in seconds.
        sounding_s: Total time with a non-empty mask, in seconds. A frame counts from its
            presentation time to that of the next one, the last frame to the end of the video; at a
            chosen frame rate each frame counts for its interval.
        area: Mean marked share of the frame over frames with a non-empty mask; 0 if there are none.
        score: Mean score of these frames; 0 if there are none.
        sound: How the audio was transferred to the overlay ("copied (aac)", ...); None without an
            overlay.
        sources: Total time in seconds with a non-empty mask of each named source, in the order of
            their values in the masks; None for a model without named sources.
        empty_because: Why no frame has a mask, such as "no audio track in the file"; None if a
            frame has one.
        warnings: Properties of the video that may make the result incomplete or surprising, such
            as a few missing frames.
    """

    frame_count: int
    duration_s: float
    sounding_s: float
    area: float
    score: float
    sound: str | None
    sources: dict[str, float] | None = None
    empty_because: str | None = None
    warnings: list[str] = field(default_factory=list)


def write_result(
    segmentations: Iterable[Segmentation],
    folder: str | Path,
    key: ResultKey,
    warnings: Sequence[str] = (),
) -> ResultSummary:
    """Write masks, overlay and `result.json` of one video while it is being segmented.

    An earlier result of the same video is replaced when the new one is complete, and kept if
    writing fails. The result of another video that still exists is never replaced.

    Args:
        segmentations: Chunks of the video in order; consumed one by one.
        folder: Result folder, one for each video.
        key: Video, weights and settings of the result.
        warnings: Warnings about the video, for the summary. They are read after the last chunk, so
            that a list can be filled while the video is being read.

    Returns:
        Summary of the result.

    Raises:
        ClipError: If the video cannot be read; raised by the segmentations.
        OutputError: If the folder contains anything but a result of this video or cannot be
            written, or the video has no frames.
    """
    folder = Path(folder)
    OWN_FOLDER.check(folder)
    _check_same_video(folder, Path(key.video.path))
    with replace_when_complete(folder, OWN_FOLDER) as partial:
        masks = MaskWriter(partial / MASKS_NAME)
        with _ResultFile(partial / RESULT_NAME, key) as result_file, ExitStack() as stack:
            overlay = (
                stack.enter_context(open_overlay(key.video, partial / OVERLAY_NAME, key.audio))
                if key.overlay
                else None
            )
            for segmentation in segmentations:
                masks.write(segmentation)
                result_file.write(segmentation)
                if overlay is not None:
                    overlay.write(segmentation)
                del segmentation  # before the next chunk is segmented
            sound = overlay.sound if overlay is not None else None
            return result_file.finish(sound, list(warnings))


def find_result(folder: str | Path, key: ResultKey) -> ResultSummary | None:
    """Read the summary of an existing result if it was made from the same inputs.

    Args:
        folder: Result folder.
        key: Video, weights and settings of the result.

    Returns:
        Summary of the result, or None if there is none, it is incomplete, or its key differs.

    Raises:
        OutputError: If the video does not exist any more.
    """
    folder = Path(folder)
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        found = result["fingerprint"], result["status"], ResultSummary(**result["summary"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no result, or one of another format
    fingerprint, status, summary = found
    # A folder from which files were deleted is written again.
    masks = sum(1 for _ in (folder / MASKS_NAME).glob("*.png"))
    complete = (
        status == "complete"
        and masks == summary.frame_count
        and (folder / OVERLAY_NAME).exists() == key.overlay
    )
    return summary if complete and fingerprint == key.fingerprint() else None


class _ResultFile:
    """Writes `result.json` line by line; keeps a few numbers per frame for the summary."""

    #: Indices of the frames with a mask of each source; None for a model without named sources.
    _source_frames: dict[str, array[int]] | None = None

    def __init__(self, path: Path, key: ResultKey) -> None:
        self._key = key
        self._fingerprint = key.fingerprint()
        self._file = path.open("w", encoding="utf-8")
        self._scores = array("d")
        self._areas = array("d")
        self._times = array("d")
        self._durations = array("d")  # empty if the segmentations have none
        self._audible: bool | None = None  # whether any frame is; None if the audio is not used
        self._numbers = SourceNumbers()

    def __enter__(self) -> _ResultFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, segmentation: Segmentation) -> None:
        if segmentation.audible is not None:
            self._audible = bool(self._audible) or bool(segmentation.audible.any())
        if segmentation.durations is not None:
            self._durations.extend(segmentation.durations)
        for k, (_, marked) in enumerate(self._numbers.label(segmentation)):
            # The head needs the name of the model, which is known with the first chunk only.
            before = ",\n" if self._areas else self._head(segmentation.model)
            line = self._frame(segmentation, k)
            if segmentation.sources is not None:
                line["sources"] = self._sources(marked, k)
            self._file.write(before + json.dumps(line, allow_nan=False))

    def finish(self, sound: str | None, warnings: list[str]) -> ResultSummary:
        if not self._areas:
            raise OutputError(
                f"{self._key.video.path}: the segmentation has no frames, so there is no result; "
                "check the video with a player."
            )
        summary = replace(self._summarize(sound), warnings=warnings)
        facts = asdict(summary)
        for name in _OPTIONAL_KEYS:
            if facts[name] in (None, []):
                del facts[name]
        # Joined by hand, so that the file can be written without keeping its frames in memory.
        tail = {"summary": facts, "status": "complete"}
        self._file.write(f"\n], {json.dumps(tail, allow_nan=False)[1:]}\n")
        return summary

    def _head(self, model: str) -> str:
        head: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": self._fingerprint,
            "video": asdict(self._key.video),
            "model": {
                "name": model,
                "sha256": self._key.model_sha256,
                "licence": self._key.licence,
            },
            "settings": dict(self._key.settings),
        }
        if self._key.audio is not None:
            head["audio"] = self._key.audio.facts()
        return f'{json.dumps(head, allow_nan=False)[:-1]}, "frames": [\n'

    def _frame(self, segmentation: Segmentation, k: int) -> dict[str, Any]:
        facts = _describe(segmentation.masks[k], segmentation.scores[k])
        # Counted here, not taken from the chunk, whose indices start at 0 again.
        index = len(self._areas)
        self._scores.append(float(segmentation.scores[k]))
        self._areas.append(facts["area_pixels"] / segmentation.masks[k].size)
        self._times.append(float(segmentation.frame_times[k]))
        return {"index": index, "time_s": round(self._times[-1], 6)} | facts

    def _sources(self, marked: list[NamedSource], k: int) -> list[dict[str, Any]]:
        frames = self._source_frames = self._source_frames or {}
        for source in marked:
            frames.setdefault(source.name, array("q")).append(len(self._areas) - 1)
        return [
            {"name": source.name, "value": self._numbers.by_name[source.name]}
            | _describe(source.packed[k].unpack(), source.scores[k])
            for source in marked
        ]

    def _summarize(self, sound: str | None) -> ResultSummary:
        areas, scores = np.array(self._areas), np.array(self._scores)
        seconds = self._frame_seconds()
        sounding = areas > 0
        sources = None
        if self._source_frames is not None:
            sources = {
                name: round(float(seconds[frames].sum()), 6)
                for name, frames in self._source_frames.items()
            }
        return ResultSummary(
            frame_count=len(areas),
            duration_s=round(float(seconds.sum()), 6),
            sounding_s=round(float(seconds[sounding].sum()), 6),
            area=round(float(areas[sounding].mean()), 6) if sounding.any() else 0.0,
            score=round(float(scores[sounding].mean()), 6) if sounding.any() else 0.0,
            sound=sound,
            sources=sources,
            empty_because=None if sounding.any() else self._empty_because(),
        )

    def _frame_seconds(self) -> npt.NDArray[np.float64]:
        """Return how long each frame counts, (T,), in seconds."""
        if len(self._durations) == len(self._areas):
            return np.array(self._durations)
        # Segmentations that were not made from a clip of `avseg.media`.
        video, times = self._key.video, np.array(self._times)
        if self._key.settings.get("frames_per_second") is not None:
            return np.full(len(times), video.duration_s / len(times))
        seconds: npt.NDArray[np.float64] = np.diff(
            times, append=max(video.start_s + video.duration_s, times[-1])
        )
        return seconds

    def _empty_because(self) -> str:
        """Return why no frame has a mask."""
        if self._audible is None:  # the model does not use the audio
            return "nothing marked"
        if self._key.video.audio_codec is None:
            undecodable = bool(self._key.video.audio_tracks)
            return "no audio track " + ("can be decoded" if undecodable else "in the file")
        if not self._audible:
            return f"no audio above {SILENCE_DBFS:g} dBFS{self._which_tracks()}"
        return "audio, but nothing marked"

    def _which_tracks(self) -> str:
        """Name the used audio tracks, if the file has others that may sound."""
        tracks, audio = self._key.video.audio_tracks, self._key.audio
        if audio is None or len(tracks) == len(audio.used):
            return ""
        numbers = " and ".join(map(str, audio.used))
        return f" in audio track{'s' * (len(audio.used) > 1)} {numbers} of {len(tracks)}"


def _describe(mask: npt.NDArray[np.bool_], score: np.float32) -> dict[str, Any]:
    pixels = int(np.count_nonzero(mask))
    return {
        "score": round(float(score), 6),
        "area": round(pixels / mask.size, 6),
        "area_pixels": pixels,
        "box": rle.bounding_box(mask),
        "rle": rle.encode_mask(mask),
    }


def _is_converted(video: VideoInfo) -> bool:
    """Return whether frames or overlay differ from those of version 0.1.0.dev0."""
    return (
        needs_mapping(ColourTags.of_video(video))
        or video.interlaced
        or video.timecode is not None
        or video.pixel_format not in ("yuv420p", "yuvj420p")
    )


def _check_same_video(folder: Path, video: Path) -> None:
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        other = Path(result["video"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # no result, or one of another format
    if other.exists() and not other.samefile(video):
        raise OutputError(
            f"{folder} contains the result of another video, {other}, which that of {video} would "
            "replace; choose another output folder."
        )
