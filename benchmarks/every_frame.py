"""How good are the masks of every frame of a video, and how steady are they from frame to frame?

    python benchmarks/every_frame.py [--model NAME] [--scenes 30] [--seed 0] [--split test]
        [--version 2] [--side 320]

The scenes are clips of SynthAVS with several sources, 5 s at 25 frames per second, rendered at the
given side with the exact ground truth of each frame. Frames within half a second of a start or end
of a sound are left out, because the audio window of the models is one second long.

Printed as a row of a Markdown table, with the standard error over scenes:

- J and boundary F (DAVIS's tolerance), mean over the frames in which a visible object sounds.
- change: one minus the IoU of the masks of two successive frames, mean over the pairs of frames in
  which the same objects sound; of the model, and of the ground truth.
- names: of a model that names its sources, the share of the pairs of a frame and a category that
  sounds and is visible in it for which the category is among the names of the frame; and the
  changes of the set of names per second.
"""

import argparse
import math
from itertools import pairwise

import numpy as np
from _material import circumstances

from avseg.checkpoints import DEFAULT_MODEL
from avseg.metrics import boundary_f
from avseg.segmenter import load_segmenter
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.video import FRAMES_PER_SECOND
from avseg.types import Clip, Segmentation

FIGURES = ("J", "boundary F", "change", "true change", "names right", "changes of names per s")
#: Frames nearer than this to a change of what sounds are left out, in seconds.
MARGIN_S = 0.5


def as_clip(clip: SyntheticClip) -> tuple[Clip, np.ndarray]:
    """Render all frames of a scene; return them with the audio, and the ground truth."""
    seconds = len(clip.audio) / SAMPLE_RATE
    times = (np.arange(int(seconds * FRAMES_PER_SECOND)) + 0.5) / FRAMES_PER_SECOND
    frames = np.stack([clip.scene.render(time)[0] for time in times])
    truth = np.stack([clip.truth_at(time) for time in times])
    rendered = Clip(
        origin="scene",
        frames=frames,
        frame_times=times - 0.5 / FRAMES_PER_SECOND,
        audio_times=times,
        audio=clip.audio,
        audio_start_s=0.0,
        sample_rate=SAMPLE_RATE,
        durations=np.full(len(times), 1 / FRAMES_PER_SECOND),
    )
    return rendered, truth


def measure(
    clip: SyntheticClip, rendered: Clip, truth: np.ndarray, found: Segmentation
) -> list[float]:
    """Return the figures of one scene, in the order of `FIGURES`; NaN for one without frames."""
    times = rendered.audio_times
    sounding = [frozenset(clip.sounding_at(time)) for time in times]
    changes = times[1:][[a != b for a, b in pairwise(sounding)]]
    settled = np.array([not (np.abs(changes - time) < MARGIN_S).any() for time in times])
    used = settled & truth.any((1, 2))
    pairs = np.flatnonzero(used[1:] & used[:-1])
    figures = [
        _mean(_iou(found.masks[i], truth[i]) for i in np.flatnonzero(used)),
        _mean(boundary_f(found.masks[i], truth[i]) for i in np.flatnonzero(used)),
        _mean(1 - _iou(found.masks[i], found.masks[i + 1]) for i in pairs),
        _mean(1 - _iou(truth[i], truth[i + 1]) for i in pairs),
    ]
    if found.sources is None:
        return [*figures, math.nan, math.nan]
    named = [
        frozenset(source.name for source in found.sources if source.masks[i].any())
        for i in range(len(times))
    ]
    right = [
        category in named[i]
        for i in np.flatnonzero(used)
        for category in set(clip.sounding_at(times[i]).values())
    ]
    changed = sum(a != b for a, b in pairwise(named))
    return [*figures, _mean(right), changed / (len(times) / FRAMES_PER_SECOND)]


def _iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / max((mask | other).sum(), 1)) if (mask | other).any() else 1


def _mean(values: object) -> float:
    found = list(values)  # type: ignore[call-overload]
    return float(np.mean(found)) if found else math.nan


def main() -> None:
    """Measure the scenes and print the mean of each figure with its standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--version", type=int, choices=(2, 3), default=2)
    parser.add_argument("--side", type=int, default=320)
    options = parser.parse_args()
    segmenter = load_segmenter(options.model, "cpu")
    print(circumstances(options.model), f"{options.scenes} scenes of {options.split}, ", end="")
    print(f"SynthAVS version {options.version}, {options.side} pixels\n", flush=True)
    scenes = SynthavsOptions(
        subset="ms3",
        clips=1,
        seed=options.seed,
        side=options.side,
        generator_version=options.version,
    )
    figures = []
    for index in range(options.scenes):
        clip = draw_clip(scenes, options.split, index)
        rendered, truth = as_clip(clip)
        figures.append(measure(clip, rendered, truth, segmenter.segment_clip(rendered)))
    print("| " + " | ".join(FIGURES) + " |\n" + "| ---: " * len(FIGURES) + "|")
    cells = []
    for values in np.array(figures).T:
        known = values[np.isfinite(values)]
        error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
        cells.append(f"{known.mean():.3f} ± {error:.3f}" if len(known) else "-")
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
