"""Which rule of a cascade rejects silence, noise and off-screen sounds, and keeps good masks?

python benchmarks/off_screen_rule.py CASCADE DATA --subset ms3 [--split val] [--clips N]

DATA is SynthAVS. The model scores all names for the audio of each clip, for noise and for the audio
of a clip of which no object is visible; each name that any rule may select is segmented once. Each
rule then selects from these masks. Choose a rule on val, and evaluate only that one on test.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from avseg.datasets import AVSBench
from avseg.models.cascade import CascadeModel
from avseg.models.outputs import resize_logits
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.contents import find_off_screen_audio, find_synthavs_split, read_contents
from avseg.types import SILENCE_DBFS

#: Audio that replaces that of a clip: the same level as a typical clip.
NOISE_RMS = 0.1
#: Distances in seconds of the windows whose scores are averaged over time.
SHIFTS_S = (-0.4, -0.2, 0.0, 0.2, 0.4)
#: Candidates of each option of the rule; a name below the lowest score is never segmented.
MIN_SCORES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3)
SMOOTHINGS_S = (0.0, 0.4, 0.8)
MIN_OBJECT_SCORES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
MAX_NAMES = (2, 3)


@dataclass(frozen=True)
class Rule:
    """One rule: options of `CascadeConfig`."""

    min_score: float
    smoothing_s: float
    min_object_score: float
    max_names: int


@dataclass(frozen=True)
class ClipOutputs:
    """Outputs for a clip of T frames and C names, and its ground truth H x W.

    Attributes:
        scores: For each kind of audio the scores at each shift, (shifts, T, C).
        silent: For each kind of audio, whether a frame is silent, (T,).
        masks: Predicted mask of each frame and name that any rule may select, (H, W) bool.
        object_scores: Scores of the masks, (T, C); 0 for an empty mask.
        truth: Ground-truth masks, (T, H, W) bool.
        sounding: Names that sound and are visible, (T, C) bool.
    """

    scores: dict[str, Tensor]
    silent: dict[str, Tensor]
    masks: dict[tuple[int, int], Tensor]
    object_scores: Tensor
    truth: Tensor
    sounding: Tensor


class Collector:
    """Runs the two parts of a cascade on clips of a split.

    Args:
        segmenter: A cascade.
        split: A split of SynthAVS.
    """

    def __init__(self, segmenter: Segmenter, split: AVSBench) -> None:
        self.segmenter, self.split = segmenter, split
        self.model = cast("CascadeModel", segmenter.model)
        generated = find_synthavs_split(split)
        if generated is None:
            raise SystemExit(f"{split.folder} is not SynthAVS of this version")
        self.generated = generated
        self.contents = read_contents(split, generated) or []
        self.names = list(segmenter.vocabulary)

    @torch.inference_mode()
    def run(self, index: int) -> ClipOutputs:
        """Compute the outputs of one clip."""
        clip, count = self.split[index], len(self.names)
        inputs = self.segmenter.processor(clip.clip)
        audio = {"original": clip.clip.audio}
        rng = np.random.default_rng(index)
        audio["noise"] = rng.normal(0, NOISE_RMS, audio["original"].shape).astype(np.float32)
        other = find_off_screen_audio(self.contents, index)
        if other is not None:
            audio["off-screen"] = self.split[other].clip.audio
        windows = {kind: self._windows(index, values) for kind, values in audio.items()}
        texts = {name: inputs[name] for name in self.model.namer.text_inputs}
        scores = {
            kind: torch.stack(
                [self.model.score_audio({"audio_values": each}, texts) for each in shifted]
            )
            for kind, shifted in windows.items()
        }
        middle = SHIFTS_S.index(0.0)
        silent = {
            kind: 20 * shifted[middle].square().mean(1).sqrt().log10() <= SILENCE_DBFS
            for kind, shifted in windows.items()
        }
        object_scores = torch.zeros(len(clip.masks), count)
        frames, selected = self._candidates(scores)
        found = self.model.segmenter.segment_prompts(
            {n: inputs[n][0] for n in self.model.segmenter.image_inputs if n in inputs},
            {n: inputs[n][selected] for n in self.model.segmenter.text_inputs},
            frames,
        )
        cut = resize_logits(found.mask_logits, clip.masks.shape[1:]) > 0
        pairs = zip(frames.tolist(), selected.tolist(), strict=True)
        masks = dict(zip(pairs, cut, strict=True))
        object_scores[frames, selected] = found.scores * cut.flatten(1).any(1)
        truth = torch.from_numpy(clip.masks)
        return ClipOutputs(scores, silent, masks, object_scores, truth, self._sounding(index))

    def _windows(self, index: int, audio: np.ndarray) -> Tensor:
        """Cut the windows of each frame at each shift, (shifts, T, samples)."""
        clip = self.split[index].clip
        rate = clip.sample_rate
        length = round(self.model.config.window_s * rate)
        padded = np.pad(audio, rate)
        starts = np.round((clip.audio_times - clip.audio_start_s) * rate).astype(int) - length // 2
        rows = [[padded[s + rate + round(d * rate) :][:length] for s in starts] for d in SHIFTS_S]
        return torch.from_numpy(np.array(rows))

    def _candidates(self, scores: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return frame and name of each prompt that any rule may select."""
        wanted = torch.zeros(next(iter(scores.values())).shape[1:], dtype=torch.bool)
        for values, smoothing_s in product(scores.values(), SMOOTHINGS_S):
            best = smooth(values, smoothing_s).topk(max(MAX_NAMES), dim=1)
            wanted |= torch.zeros_like(wanted).scatter(1, best.indices, best.values > MIN_SCORES[0])
        frames, names = wanted.nonzero(as_tuple=True)
        return frames, names

    def _sounding(self, index: int) -> Tensor:
        """Return which names sound and are visible in each second, (T, C) bool."""
        drawn = self.generated.draw(index)
        sounding = torch.zeros(drawn.seconds, len(self.names), dtype=torch.bool)
        for second in range(drawn.seconds):
            for category in drawn.sounding(second).values():
                sounding[second, self.names.index(category)] = True
        return sounding


def smooth(scores: Tensor, smoothing_s: float) -> Tensor:
    """Average scores (shifts, T, C) over the shifts within an interval, (T, C)."""
    near = [i for i, shift in enumerate(SHIFTS_S) if abs(shift) <= smoothing_s / 2 + 1e-6]
    return scores[near].mean(0)


def select(clip: ClipOutputs, kind: str, rule: Rule) -> Tensor:
    """Return the names that a rule selects for one kind of audio, (T, C) bool."""
    best = smooth(clip.scores[kind], rule.smoothing_s).topk(rule.max_names, dim=1)
    chosen = torch.zeros(clip.object_scores.shape, dtype=torch.bool)
    chosen = chosen.scatter(1, best.indices, best.values > rule.min_score)
    chosen &= clip.object_scores > rule.min_object_score
    return chosen & ~clip.silent[kind].unsqueeze(1)


def evaluate(outputs: list[ClipOutputs], rule: Rule) -> dict[str, float]:
    """Score one rule: J, names, and false positives of each kind of audio."""
    ious, marked = [], {"noise": [], "off-screen": [], "silence": []}  # type: ignore[var-annotated]
    right = predicted = sounding = 0
    for clip in outputs:
        chosen = select(clip, "original", rule)
        for frame, truth in enumerate(clip.truth):
            names = chosen[frame].nonzero()[:, 0].tolist()
            if not truth.any():
                marked["silence"].append(bool(names))
                continue
            mask = torch.zeros_like(truth)
            for name in names:
                mask |= clip.masks[frame, name]
            ious.append(float((mask & truth).sum() / (mask | truth).sum()))
        right += int((chosen & clip.sounding).sum())
        predicted, sounding = predicted + int(chosen.sum()), sounding + int(clip.sounding.sum())
        for kind in clip.scores.keys() - {"original"}:
            marked[kind] += select(clip, kind, rule).any(1).tolist()
    return {
        "J": float(np.mean(ious)),
        "names right": right / max(1, predicted),
        "names found": right / max(1, sounding),
        **{f"{kind} marked": float(np.mean(values)) for kind, values in marked.items()},
    }


def main() -> None:
    """Print the best rules; with the options of one rule, only that one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cascade", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--subset", choices=("s4", "ms3"), required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--rule", type=float, nargs=4, metavar=("SCORE", "S", "OBJECT", "NAMES"))
    options = parser.parse_args()
    segmenter = load_segmenter(options.cascade, "cpu")
    split = AVSBench(options.data, options.subset, options.split, segmenter.processor.sample_rate)
    collector = Collector(segmenter, split)
    outputs = [collector.run(index) for index in range(min(options.clips, len(split)))]
    if options.rule:
        score, smoothing_s, shown, names = options.rule
        rules = [Rule(score, smoothing_s, shown, int(names))]
    else:
        rules = [
            Rule(*values)
            for values in product(MIN_SCORES, SMOOTHINGS_S, MIN_OBJECT_SCORES, MAX_NAMES)
        ]
    found = [(rule, evaluate(outputs, rule)) for rule in rules]
    # J alone would accept masks for sounds without an object, so their share is subtracted.
    found.sort(key=lambda each: each[1]["J"] - 0.5 * each[1]["off-screen marked"])
    print(f"{options.subset}/{options.split}, {len(outputs)} clips")
    for rule, scores in found:
        print(rule, ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


if __name__ == "__main__":
    main()
