"""AVSBench's folders as code: what each subset is called and where its files lie.

Three layouts are given out: S4 (single source) and MS3 (multi source) of AVSBench-object
(arXiv:2207.05042), and AVSS, AVSBench-semantic (arXiv:2301.13190), which holds both again under the
names v1s and v1m beside its own part v2. Two more are built upon them: AVS-V3 (arXiv:2309.07929)
is AVSS under other tables, AVSBench-Robust (arXiv:2502.00358) is S4 and MS3 with other sound. Each
is a row of `LAYOUTS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from avseg.errors import DatasetError

#: What AVSBench gives out, a folder each. Their order decides the seeds of SynthAVS.
Release = Literal["s4", "ms3", "avss"]

#: What can be read: the releases, AVSS by parts, AVS-V3, and AVSBench-Robust's negative sounds.
Subset = Literal[
    "s4",
    "ms3",
    "avss",
    "v1s",
    "v1m",
    "v2",
    "v3",
    "s4_misaligned",
    "s4_noise",
    "s4_silent",
    "ms3_misaligned",
    "ms3_noise",
    "ms3_silent",
]

#: Parts of AVSBench, by AVSS's names, and the seconds of their clips; each second has one frame.
SECONDS: dict[str, int] = {"v1s": 5, "v1m": 5, "v2": 10}

_HOW_TO_GET = (
    "give the folder of {release} or the one that holds it. AVSBench's authors give theirs out "
    "(github.com/OpenNLPLab/AVSBench); `avseg data synthesize --subset {release} --out DIR "
    "--clips N` makes synthetic clips in the same layout"
)


@dataclass(frozen=True)
class ClipEntry:
    """A clip as its table names it.

    Attributes:
        name: Of the clip: video_name in S4 and MS3, uid in AVSS.
        split: "train", "val", "test" or what else the table has.
        category: What sounds: the category in S4; in AVSS the objects that can be seen, joined by
            "_", "background" if there are none; MS3 does not say, there it is None.
        part: "v1s", "v1m" or "v2".
    """

    name: str
    split: str
    category: str | None
    part: str

    @property
    def seconds(self) -> int:
        """Length of the clip, and number of its frames."""
        return SECONDS[self.part]

    @property
    def annotated_seconds(self) -> int:
        """How many frames, from the first, have a mask."""
        only_first = self.part == "v1s" and self.split == "train"
        return 1 if only_first else self.seconds


@dataclass(frozen=True)
class Layout:
    """Names of the files of one subset.

    The patterns are relative to the subset's folder and hold {name}, {split}, {category}, {part},
    and {number} for the frame.

    Attributes:
        release: Whose folder it is in.
        folders: Names that the folder goes by, its own first.
        metadata: CSV file with a row for each clip, by which the folder is known.
        name_column: Column of the clip's name; None stands for the first column, whatever it is
            called.
        category_column: Column that says what sounds, if there is one.
        part_column: Column that says which part of AVSBench a clip is of, if there is one.
        parts: Parts that belong to the subset; the one that all clips are of if no column says it.
        frame: Pattern of a frame.
        mask: Pattern of a mask or map of class numbers.
        coloured_mask: Pattern of a map of classes in colours, if there is one.
        audio: Pattern of the sound.
        video: Pattern of the video that all this was taken from; not needed for reading.
        first_number: Number of the first frame.
        split_metadata: Tables that are a split each, by the name of the split; their own column of
            splits is not to be trusted. If there are any, `metadata` names no clips of this subset.
        audio_folders: Folders beside the subset's own that may hold the sound in its place.
    """

    release: Release
    folders: tuple[str, ...]
    metadata: str
    name_column: str | None
    category_column: str | None
    part_column: str | None
    parts: tuple[str, ...]
    frame: str
    mask: str
    coloured_mask: str | None
    audio: str
    video: str
    first_number: int
    split_metadata: Mapping[str, str] = field(default_factory=dict)
    audio_folders: tuple[str, ...] = ()

    def path(self, pattern: str, folder: Path, clip: ClipEntry, second: int = 0) -> Path:
        """Fill in a pattern.

        Args:
            pattern: One of this layout's.
            folder: The subset's folder.
            clip: The clip.
            second: Number of the second, from 0.

        Returns:
            The path.
        """
        return folder / pattern.format(
            name=clip.name,
            split=clip.split,
            category=clip.category,
            part=clip.part,
            number=self.first_number + second,
        )

    def audio_folder(self, folder: Path) -> Path:
        """Find the folder that the pattern of the sound is relative to.

        Args:
            folder: The subset's folder.

        Returns:
            The first of `audio_folders`, beside the subset's folder or one above, that has sound;
            the subset's own if that has it; otherwise where it should be.
        """
        above = folder.absolute().parent
        places = [place / name for place in (above, above.parent) for name in self.audio_folders]
        places.append(folder)
        fixed, _, _ = self.audio.partition("/{")
        return next((place for place in places if (place / fixed).exists()), places[0])


_S4 = Layout(
    release="s4",
    folders=("Single-source",),
    metadata="s4_meta_data.csv",
    name_column=None,
    category_column="category",
    part_column=None,
    parts=("v1s",),
    frame="s4_data/visual_frames/{split}/{category}/{name}/{name}_{number}.png",
    mask="s4_data/gt_masks/{split}/{category}/{name}/{name}_{number}.png",
    coloured_mask=None,
    audio="s4_data/audio_wav/{split}/{category}/{name}.wav",
    video="s4_data/raw_videos/{split}/{category}/{name}.mp4",
    first_number=1,
)

_MS3 = Layout(
    release="ms3",
    folders=("Multi-sources",),
    metadata="ms3_meta_data.csv",
    name_column=None,
    category_column=None,
    part_column=None,
    parts=("v1m",),
    frame="ms3_data/visual_frames/{name}/{name}.mp4_{number}.png",
    mask="ms3_data/gt_masks/{split}/{name}/{name}_{number}.png",
    coloured_mask=None,
    audio="ms3_data/audio_wav/{split}/{name}.wav",
    video="ms3_data/raw_videos/{name}.mp4",
    first_number=1,
)

_AVSS = Layout(
    release="avss",
    folders=("AVSBench_semantic", "AVSS", "avs_released", "AVSBench"),
    metadata="metadata.csv",
    name_column="uid",
    category_column="a_obj",
    part_column="label",
    parts=tuple(SECONDS),
    frame="{part}/{name}/frames/{number}.jpg",
    mask="{part}/{name}/labels_semantic/{number}.png",
    coloured_mask="{part}/{name}/labels_rgb/{number}.png",
    audio="{part}/{name}/audio.wav",
    video="raw_videos/{name}.mp4",  # AVSBench gives none out: a place of our own
    first_number=0,
)

#: AVS-V3: training and validation on seen categories, test on unseen ones; or a few clips of these
#: to learn from, and the others to test on.
_V3_TABLES = {
    "seen_train": "meta_v3_seen_train.csv",
    "seen_val": "meta_v3_seen_val.csv",
    "unseen": "meta_v3_unseen.csv",
    **{
        f"{shots}_shot_{split}": f"v3_{shots}_shot/{split}.csv"
        for shots in (1, 3, 5)
        for split in ("train", "test")
    },
}


def _with_negative_sound(layout: Layout, sound: str) -> Layout:
    """AVSBench-Robust: the frames and masks of S4 or MS3, and another sound for each clip."""
    return replace(
        layout,
        audio=layout.audio.replace("/audio_wav/", f"/audio_wav_{sound}/"),
        audio_folders=(
            f"avsbench_neg_data/{layout.folders[0]}",
            f"avsbench_test_audio/{layout.folders[0]}",
        ),
    )


def _with_silence(layout: Layout) -> Layout:
    """AVSBench-Robust has one silent file for all clips."""
    return replace(
        layout, audio="silent.wav", audio_folders=("avsbench_neg_data", "avsbench_test_audio")
    )


LAYOUTS: dict[Subset, Layout] = {
    "s4": _S4,
    "ms3": _MS3,
    "avss": _AVSS,
    "v1s": replace(_AVSS, parts=("v1s",)),
    "v1m": replace(_AVSS, parts=("v1m",)),
    "v2": replace(_AVSS, parts=("v2",)),
    "v3": replace(_AVSS, split_metadata=_V3_TABLES),
    "s4_misaligned": _with_negative_sound(_S4, "misaligned"),
    "s4_noise": _with_negative_sound(_S4, "noise"),
    "s4_silent": _with_silence(_S4),
    "ms3_misaligned": _with_negative_sound(_MS3, "misaligned"),
    "ms3_noise": _with_negative_sound(_MS3, "noise"),
    "ms3_silent": _with_silence(_MS3),
}


def find_folder(root: Path, subset: Subset) -> Path:
    """Find the folder of a subset.

    Args:
        root: The folder of a subset, or the one that holds it.
        subset: Which subset.

    Returns:
        The folder that holds the subset's table.

    Raises:
        DatasetError: If the folder or the table is not there.
        ValueError: If there is no such subset.
    """
    if subset not in LAYOUTS:
        raise ValueError(f"subset must be one of {', '.join(get_args(Subset))}, got {subset!r}.")
    layout = LAYOUTS[subset]
    for folder in (root, *(root / name for name in layout.folders)):
        if (folder / layout.metadata).is_file():
            return folder
    problem = "there is no such folder"
    if root.is_dir():
        problem = (
            f"holds no {layout.metadata}, nor does a folder {' or '.join(layout.folders)} in it"
        )
    raise DatasetError(f"{root}: {problem}; {_HOW_TO_GET.format(release=layout.release)}.")
