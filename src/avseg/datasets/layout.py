"""AVSBench's folder layouts: names of the subsets and paths of their files.

Three layouts are published: S4 (single source) and MS3 (multiple sources) of AVSBench-object
(arXiv:2207.05042), and AVSS, AVSBench-semantic (arXiv:2301.13190). AVSS contains the clips of S4
and MS3 again, as its components v1s and v1m, and new clips as v2. Two other benchmarks reuse these
files: AVS-V3 (arXiv:2309.07929) is AVSS with other metadata, and AVSBench-Robust (arXiv:2502.00358)
is S4 and MS3 with other audio. `LAYOUTS` has one entry for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from avseg.datasets.other_data_sets import recognise_other
from avseg.errors import DatasetError

#: Subsets that AVSBench publishes, one folder each. Their order is part of the seeds of SynthAVS,
#: so it must not change.
Release = Literal["s4", "ms3", "avss"]

#: Subsets that can be read: the releases, the components of AVSS, AVS-V3, and S4 and MS3 with the
#: negative audio of AVSBench-Robust.
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

#: Component of AVSBench, by its name in AVSS -> length of its clips in seconds. Every second has
#: one frame.
SECONDS: dict[str, int] = {"v1s": 5, "v1m": 5, "v2": 10}

_HOW_TO_GET = (
    "pass the folder of {release} or the one that contains it. Its authors distribute AVSBench "
    "(github.com/OpenNLPLab/AVSBench); `avseg data synthesize --subset {release} --out DIR "
    "--clips N` writes synthetic clips in the same layout"
)


@dataclass(frozen=True)
class ClipEntry:
    """One clip as its metadata describes it.

    Attributes:
        name: Name of the clip: video_name in S4 and MS3, uid in AVSS.
        split: "train", "val", "test" or another split of the metadata.
        category: Sounding category in S4; in AVSS the sounding visible objects joined by "_", or
            "background" if there are none; None in MS3, whose metadata has no categories.
        component: Component of AVSBench: "v1s", "v1m" or "v2".
    """

    name: str
    split: str
    category: str | None
    component: str

    @property
    def seconds(self) -> int:
        """Length of the clip in seconds, which is also its number of frames."""
        return SECONDS[self.component]

    @property
    def annotated_seconds(self) -> int:
        """Number of annotated frames, counted from the first."""
        # S4 is weakly supervised: its training clips have a mask for their first frame only.
        only_first = self.component == "v1s" and self.split == "train"
        return 1 if only_first else self.seconds


@dataclass(frozen=True)
class Layout:
    """File names of one subset.

    The patterns are relative to the folder of the subset. They may contain {name}, {split},
    {category} and {component} of the clip, and {number} of the frame.

    Attributes:
        release: Release that the files belong to.
        folders: Names that the folder of the subset may have, the published one first.
        metadata: CSV file with one row for each clip; its presence identifies the folder.
        name_column: Column with the name of the clip; None for the first column, whatever its
            header.
        category_column: Column with the sounding categories, or None.
        component_column: Column with the component of the clip, or None.
        components: Components that belong to the subset. Without a component column all clips are
            of the first.
        frame: Pattern of a frame.
        mask: Pattern of a binary mask or of a map of class numbers.
        coloured_mask: Pattern of a map of class colours, or None.
        audio: Pattern of the audio.
        video: Pattern of the original video; not needed for reading.
        first_number: Number of the first frame in the file names.
        split_metadata: CSV file of each split, for subsets that have one file per split. Their
            column `split` is wrong in places and is ignored. `metadata` then only identifies the
            folder.
        audio_folders: Folders beside that of the subset that may contain the audio instead.
    """

    release: Release
    folders: tuple[str, ...]
    metadata: str
    name_column: str | None
    category_column: str | None
    component_column: str | None
    components: tuple[str, ...]
    frame: str
    mask: str
    coloured_mask: str | None
    audio: str
    video: str
    first_number: int
    split_metadata: Mapping[str, str] = field(default_factory=dict)
    audio_folders: tuple[str, ...] = ()

    def path(self, pattern: str, folder: Path, clip: ClipEntry, second: int = 0) -> Path:
        """Return the path of a file of a clip.

        Args:
            pattern: Pattern of this layout.
            folder: Folder that the pattern is relative to.
            clip: The clip.
            second: Index of the second, from 0.

        Returns:
            The path with all variables filled in.
        """
        return folder / pattern.format(
            name=clip.name,
            split=clip.split,
            category=clip.category,
            component=clip.component,
            number=self.first_number + second,
        )

    def audio_folder(self, folder: Path) -> Path:
        """Find the folder that the audio pattern is relative to.

        Args:
            folder: Folder of the subset.

        Returns:
            The first of `audio_folders` that contains audio, beside the folder of the subset or one
            level above; else the folder of the subset if it contains audio; else the first place
            that was searched, for the error message.
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
    component_column=None,
    components=("v1s",),
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
    component_column=None,
    components=("v1m",),
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
    component_column="label",
    components=tuple(SECONDS),
    frame="{component}/{name}/frames/{number}.jpg",
    mask="{component}/{name}/labels_semantic/{number}.png",
    coloured_mask="{component}/{name}/labels_rgb/{number}.png",
    audio="{component}/{name}/audio.wav",
    video="raw_videos/{name}.mp4",  # AVSBench publishes none; our own choice
    first_number=0,
)

#: Splits of AVS-V3: training and validation on seen categories and test on unseen ones; and, for
#: k-shot learning, a few clips of the unseen categories for training and the others for test.
_V3_METADATA = {
    "seen_train": "meta_v3_seen_train.csv",
    "seen_val": "meta_v3_seen_val.csv",
    "unseen": "meta_v3_unseen.csv",
    **{
        f"{shots}_shot_{split}": f"v3_{shots}_shot/{split}.csv"
        for shots in (1, 3, 5)
        for split in ("train", "test")
    },
}


def _with_negative_audio(layout: Layout, kind: str) -> Layout:
    """Return a layout with AVSBench-Robust's replacement audio for each clip."""
    return replace(
        layout,
        audio=layout.audio.replace("/audio_wav/", f"/audio_wav_{kind}/"),
        audio_folders=(
            f"avsbench_neg_data/{layout.folders[0]}",
            f"avsbench_test_audio/{layout.folders[0]}",
        ),
    )


def _with_silence(layout: Layout) -> Layout:
    """Return a layout with AVSBench-Robust's silent audio file, one for all clips."""
    return replace(
        layout, audio="silent.wav", audio_folders=("avsbench_neg_data", "avsbench_test_audio")
    )


LAYOUTS: dict[Subset, Layout] = {
    "s4": _S4,
    "ms3": _MS3,
    "avss": _AVSS,
    "v1s": replace(_AVSS, components=("v1s",)),
    "v1m": replace(_AVSS, components=("v1m",)),
    "v2": replace(_AVSS, components=("v2",)),
    "v3": replace(_AVSS, split_metadata=_V3_METADATA),
    "s4_misaligned": _with_negative_audio(_S4, "misaligned"),
    "s4_noise": _with_negative_audio(_S4, "noise"),
    "s4_silent": _with_silence(_S4),
    "ms3_misaligned": _with_negative_audio(_MS3, "misaligned"),
    "ms3_noise": _with_negative_audio(_MS3, "noise"),
    "ms3_silent": _with_silence(_MS3),
}


def find_folder(root: Path, subset: Subset) -> Path:
    """Find the folder of a subset.

    Args:
        root: Folder of the subset, or the folder that contains it.
        subset: Name of the subset.

    Returns:
        The folder that contains the metadata of the subset.

    Raises:
        DatasetError: If the folder or the metadata does not exist.
        ValueError: If the name of the subset is unknown.
    """
    if subset not in LAYOUTS:
        raise ValueError(f"subset must be one of {', '.join(get_args(Subset))}, got {subset!r}.")
    layout = LAYOUTS[subset]
    for folder in (root, *(root / name for name in layout.folders)):
        other = recognise_other(folder)
        if other is not None:
            raise DatasetError(
                f"{folder}: is {other}, which avseg does not read; "
                f"{_HOW_TO_GET.format(release=layout.release)}."
            )
        if (folder / layout.metadata).is_file():
            return folder
    problem = "the folder does not exist"
    if root.is_dir():
        problem = (
            f"contains no {layout.metadata}, and neither does a folder "
            f"{' or '.join(layout.folders)} in it"
        )
    raise DatasetError(f"{root}: {problem}; {_HOW_TO_GET.format(release=layout.release)}.")
