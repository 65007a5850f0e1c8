"""Public entry point of SynthAVS, behind the command `avseg data synthesize`."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from os import PathLike
from pathlib import Path

from avseg.datasets.layout import Release
from avseg.synthavs.generators import GeneratorVersion, SynthavsOptions
from avseg.synthavs.negatives import check_has_negatives, write_negatives
from avseg.synthavs.writer import WrittenDataset, write_synthavs


def synthesize_data(  # noqa: PLR0913 - one argument for each option of the command
    root: str | PathLike[str],
    *,
    subset: Release,
    clips: int,
    seed: int = 0,
    evaluation_clips: int | None = None,
    videos: bool = False,
    negatives: bool = False,
    generator_version: GeneratorVersion = 2,
    workers: int | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> WrittenDataset:
    """Write one subset of SynthAVS, the synthetic benchmark, in AVSBench's layout.

    The same options give the same bytes, whatever the number of processes, except that videos may
    differ slightly between runs (x264). A data set that the same options wrote before is kept.

    Args:
        root: Folder to which the folder of the subset is written.
        subset: "s4" (one source), "ms3" (several sources) or "avss" (both, with class labels).
        clips: Number of training clips.
        seed: Random seed.
        evaluation_clips: Number of clips of each other split; None for a quarter of the training
            clips, but at least 10 and at most 100.
        videos: Whether to write each clip also as an mp4 file.
        negatives: Whether to write also the negative audio of AVSBench-Robust, for s4 and ms3.
        generator_version: 2 (plain scenes, clean sound) or 3 (film-like scenes and sound).
        workers: Number of processes; None for one per core. Unless it is 1, a script must call
            this function below `if __name__ == "__main__":`, because each process imports the
            script.
        on_clip: Called after each clip with the number of clips written and their total.

    Returns:
        The folders and the number of clips of each split.

    Raises:
        DatasetError: If `negatives` is set for avss, which has none.
        OutputError: If the folder contains other files, or cannot be written.
        ValueError: If an option is out of range.
    """
    root = Path(root)
    if negatives:
        # Before the clips are written, which takes minutes.
        check_has_negatives(subset)
    options = SynthavsOptions(
        subset=subset,
        clips=clips,
        seed=seed,
        evaluation_clips=evaluation_clips,
        videos=videos,
        generator_version=generator_version,
    )
    total = sum(options.counts().values())
    done = count(1)

    def report() -> None:
        if on_clip is not None:
            on_clip(next(done), total)

    written = write_synthavs(root, options, workers, on_clip=report)
    if not negatives:
        return written
    return replace(written, negatives=write_negatives(root, options, workers))
