"""How far from its sound does a mask start and end, with moved audio windows and without?

    python benchmarks/onset_offset.py [--model NAME] [--clips 20] [--seed 1] [--split test_seen]
        [--materials film,clean,-50,-40,-30,gaps,two] [--windows centred,moved]

Each clip is 5 s long, at 25 frames per second, with a sound that starts and ends at times drawn
from a continuous range, with fades of 10 to 400 ms. The materials: `film` is five seconds of
examples/demo.mp4 with its audio from 2.0 to 3.5 s only; `clean` are scenes of SynthAVS with one
source and digital silence around it; a number is the level of white noise under the same clips, in
dBFS; in `gaps` a tone pauses for 0.2 to 0.5 s, five times; in `two` one source sounds for the whole
clip and another one with a start and an end, over noise at -60 dBFS.

A sound starts and ends with the first and the last 5 ms in which it is above -70 dBFS, because many
categories pause: a dog that barks at 1.7 s has no sound at 1.4 s, although its event has begun.

Printed for each material, without the rule (the clip has no durations, so it does not apply) and
with it: the error of the onset and of the offset in seconds (median, 90th percentile and maximum of
its size; negative is early), J over all frames (1 for an empty mask where nothing sounds, else 0),
J within 0.5 s of a start or end, and interruptions per clip: frames without a mask between two with
one count as one. The onset is the start of the first frame with a mask, the offset the end of the
last one; for `two` it is a mask that covers half of the second source.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _material import circumstances

from avseg.checkpoints import DEFAULT_MODEL
from avseg.media import read_clip
from avseg.segmenter import load_segmenter
from avseg.synthavs.clips import (
    SPLIT_DOMAINS,
    SoundEvent,
    SyntheticClip,
    make_clip,
    make_stems,
)
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.types import SILENCE_DBFS, Clip

DEMO = Path(__file__).parents[1] / "examples" / "demo.mp4"
SECONDS, FPS = 5, 25
MIDDLES = (np.arange(SECONDS * FPS) + 0.5) / FPS  # of the frames, in seconds
FADES = (0.01, 0.05, 0.2, 0.4)


@dataclass(frozen=True)
class Material:
    """A clip with exact times.

    Attributes:
        clip: The clip.
        start_s: Start of the sound, of the second source in `two`.
        stop_s: Its end.
        truth: Masks of the sounding objects, (T, H, W); None for the film.
        target: Masks of the object whose times are measured, (T, H, W); None for any mask.
    """

    clip: Clip
    start_s: float
    stop_s: float
    truth: np.ndarray | None = None
    target: np.ndarray | None = None


def film() -> Material:
    """Read the demo from 4 to 9 s, with its audio from 2.0 to 3.5 s of that only."""
    whole = read_clip(DEMO, None, SAMPLE_RATE)
    kept = np.flatnonzero((whole.frame_times >= 4) & (whole.frame_times < 4 + SECONDS))
    times = whole.audio_start_s + np.arange(len(whole.audio)) / SAMPLE_RATE
    clip = replace(
        whole,
        frames=whole.frames[kept],
        frame_times=whole.frame_times[kept],
        audio_times=whole.audio_times[kept],
        durations=None if whole.durations is None else whole.durations[kept],
        audio=whole.audio * ((times >= 6.0) & (times < 7.5)),
    )
    return Material(clip, 6.0, 7.5)


def synthetic(kind: str, split: str, seed: int) -> Material:
    """Draw a scene of SynthAVS with sounds at fractional times."""
    rng = np.random.default_rng((seed, 77))
    scene = draw_scene(rng, split, "multi" if kind == "two" else "single")
    numbers = [event.object_number for event in scene.sound_events]
    if kind == "two":
        numbers = [int(n) + 1 for n in rng.permutation(len(scene.scene.objects))[:2]]
    events = [
        SoundEvent(scene.scene.objects[n - 1].category, n, np.ones(SECONDS, np.bool_))
        for n in numbers
    ]
    start_s = rng.uniform(0.7, 2.2)
    stop_s = rng.uniform(start_s + 0.6, min(start_s + 3.1, 4.4))
    spans = [(0.0, float(SECONDS))] * (len(events) - 1) + [(start_s, stop_s)]
    fade_s = rng.choice(FADES)
    stems = make_stems(rng, events, SPLIT_DOMAINS[split].parameter_split, SECONDS)[1:]
    if kind == "gaps":
        stems[0], start_s, stop_s = pulses(rng), 0.5, 4.5
        spans = [(start_s, stop_s)]
    sounds = [stem * envelope(*span, fade_s) for stem, span in zip(stems, spans, strict=True)]
    # Where the category itself is silent just then, a bark for instance, there is no sound to mark.
    spans = [audible_span(sound) for sound in sounds]
    start_s, stop_s = spans[-1]
    audio = np.sum(sounds, axis=0)
    floor = {"clean": -np.inf, "gaps": -np.inf, "two": -60.0}.get(kind)
    floor = float(kind) if floor is None else floor
    audio += rng.standard_normal(len(audio)) * 10 ** (floor / 20)
    rendered = [scene.scene.render(time) for time in MIDDLES]
    labels = np.stack([numbers for _, numbers in rendered])
    sounding = [(a <= MIDDLES) & (b > MIDDLES) for a, b in spans]
    truth = np.any(
        [
            (labels == event.object_number) & active[:, None, None]
            for event, active in zip(events, sounding, strict=True)
        ],
        axis=0,
    )
    margin = np.zeros(SAMPLE_RATE)
    clip = Clip(
        origin=f"{kind} {seed}",
        frames=np.stack([pixels for pixels, _ in rendered]),
        frame_times=MIDDLES - 0.5 / FPS,
        audio_times=MIDDLES,
        audio=np.concatenate([margin, audio, margin]).clip(-1, 1).astype(np.float32),
        audio_start_s=-1.0,
        sample_rate=SAMPLE_RATE,
        durations=np.full(len(MIDDLES), 1 / FPS),
    )
    target = labels == events[-1].object_number if kind == "two" else None
    return Material(clip, start_s, stop_s, truth, target)


def draw_scene(rng: np.random.Generator, split: str, clip_type: str) -> SyntheticClip:
    """Draw scenes until one has no category twice."""
    while True:
        scene = make_clip(rng, SPLIT_DOMAINS[split], clip_type)  # type: ignore[arg-type]
        categories = [shown.category for shown in scene.scene.objects]
        if len(set(categories)) == len(categories):
            return scene


def envelope(start_s: float, stop_s: float, fade_s: float) -> np.ndarray:
    """Return an envelope of linear fades within a time span, (S,) in [0, 1]."""
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    rise = ((times - start_s) / fade_s).clip(0, 1)
    fall = ((stop_s - times) / fade_s).clip(0, 1)
    return np.minimum(rise, fall)


def audible_span(sound: np.ndarray) -> tuple[float, float]:
    """Return when a sound first and last exceeds the silence threshold, in blocks of 5 ms."""
    length = SAMPLE_RATE // 200
    level = np.square(sound.reshape(-1, length), dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(level > 10 ** (SILENCE_DBFS / 10))
    return float(loud[0]) / 200, float(loud[-1] + 1) / 200


def pulses(rng: np.random.Generator) -> np.ndarray:
    """Return a tone from 0.5 to 4.5 s with five pauses of 0.2 to 0.5 s, (S,)."""
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    tone = 0.1 * np.sin(2 * np.pi * rng.uniform(200, 900) * times)
    for pause in range(5):
        start_s = 0.8 + 0.7 * pause
        tone[(times >= start_s) & (times < start_s + rng.uniform(0.2, 0.5))] = 0
    return tone


def measure(masks: np.ndarray, material: Material) -> list[float]:
    """Return errors of onset and offset, J, J near the changes, and the interruptions."""
    if material.target is None:
        marked = masks.any((1, 2))
    else:
        covered = (masks & material.target).sum((1, 2))
        marked = 2 * covered > np.maximum(material.target.sum((1, 2)), 1)
    j = near_j = np.nan
    times = material.clip.frame_times
    if material.truth is not None:
        both, either = (masks & material.truth).sum((1, 2)), (masks | material.truth).sum((1, 2))
        scores = np.where(either > 0, both / np.maximum(either, 1), 1.0)
        ends = np.array([material.start_s, material.stop_s])
        near = (np.abs(times[:, None] - ends) < 0.5).any(axis=1)
        j, near_j = scores.mean(), scores[near].mean()
    index = np.flatnonzero(marked)
    if not len(index):
        return [np.nan, np.nan, j, near_j, 0]
    onset_s = times[index[0]] - material.start_s
    offset_s = times[index[-1]] + 1 / FPS - material.stop_s
    interruptions = (np.diff(index) > 1).sum()
    return [float(value) for value in (onset_s, offset_s, j, near_j, interruptions)]


def row(name: str, rule: str, figures: np.ndarray) -> str:
    """Format the figures of all clips of one material as a row of the table."""
    cells = [name, rule]
    for errors in figures[:, :2].T:
        known = errors[np.isfinite(errors)]
        sizes = np.abs(known)
        cells.append(
            f"{np.median(known):+.2f}, {np.quantile(sizes, 0.9):.2f}, {sizes.max():.2f}"
            if len(known)
            else "-"
        )
    cells += [f"{value:.3f}" for value in figures[:, 2:4].mean(axis=0)]
    cells += [f"{figures[:, 4].mean():.2f}", f"{np.isnan(figures[:, 0]).sum()}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure each material with and without the rule and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", default="test_seen")
    parser.add_argument("--materials", default="film,clean,-50,-40,-30,gaps,two")
    parser.add_argument("--windows", default="centred,moved")
    options = parser.parse_args()
    segmenter = load_segmenter(options.model, "cpu")
    print(circumstances(options.model), f"{options.clips} clips of {options.split}\n", flush=True)
    print(
        "| material | windows | onset: median, 90 %, max | offset: median, 90 %, max | J "
        "| J near changes | interruptions | without a mask |\n" + "| --- " * 8 + "|"
    )
    for kind in options.materials.split(","):
        figures: dict[str, list[list[float]]] = {rule: [] for rule in options.windows.split(",")}
        for index in range(1 if kind == "film" else options.clips):
            seed = 1000 * options.seed + index
            material = film() if kind == "film" else synthetic(kind, options.split, seed)
            clips = {"centred": replace(material.clip, durations=None), "moved": material.clip}
            for rule, values in figures.items():
                values.append(measure(segmenter.segment_clip(clips[rule]).masks, material))
        for rule, values in figures.items():
            print(row(kind, rule, np.array(values)), flush=True)


if __name__ == "__main__":
    main()
