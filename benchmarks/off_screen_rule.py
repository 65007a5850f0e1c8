"""Which rule of a cascade rejects silence, noise and off-screen sounds, and keeps good masks?

    python benchmarks/off_screen_rule.py CASCADE DATA --subset ms3 [--split val] [--clips N]
        [--device cpu] [--nothing NAME] [--rule form=score,threshold=0.15,... ...]

CASCADE is the name or the folder of a cascade, such as open-cascade-light; DATA is SynthAVS or
AVSBench (for ms3 with AVSS beside it, whose metadata names the objects of MS3). The model scores
all names for the audio of each clip, for noise and for the audio of a clip of which no object is
visible; each name that any rule may select is segmented once. Each rule then selects from these
masks. A rule compares one of these measures of a name with a threshold:

- score: its score, a cosine for CLAP (`min_score` of a cascade).
- share: its share among all names of the vocabulary (`min_share` of a cascade).
- both: its share if its score exceeds the `min_score` of CASCADE, else nothing is selected.
- margin: its score minus that of a name for "nothing", given by `--nothing`.
- share_nothing: its share among all names and that for "nothing".

A cascade has no option for the last two, which are measured for comparison.

The script prints the best rule of each form, then all rules, the best last. Choose a rule on val,
and evaluate only that one on test.
"""

import argparse
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from avseg.datasets import AVSBench
from avseg.models.cascade import CascadeModel, CascadeProcessor
from avseg.models.outputs import resize_logits
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.contents import find_off_screen_audio, find_synthavs_split, read_contents
from avseg.types import SILENCE_DBFS

#: Audio that replaces that of a clip: the same level as a typical clip.
NOISE_RMS = 0.1
#: Distances in seconds of the windows whose scores are averaged over time.
SHIFTS_S = (-0.4, -0.2, 0.0, 0.2, 0.4)
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
#: Candidates of each option of a rule, the thresholds by its form.
THRESHOLDS = {
    "score": (-1.0, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6),
    "share": _SHARES,
    "both": _SHARES,
    "margin": (-0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    "share_nothing": _SHARES,
}
SMOOTHINGS_S = (0.0, 0.8)
MIN_OBJECT_SCORES = (0.0, 0.3, 0.5)
MAX_NAMES = (2, 3)


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        form: Key of `THRESHOLDS`.
        threshold: Value that a name must exceed.
        smoothing_s: Interval in which scores are averaged, in seconds.
        min_object_score: Score that a mask must exceed.
        max_names: Maximum number of names for a frame.
    """

    form: str = "score"
    threshold: float = 0.1
    smoothing_s: float = 0.0
    min_object_score: float = 0.0
    max_names: int = 3

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Parse "form=score,threshold=0.15,..."; omitted options have their defaults."""
        types = {field.name: type(field.default) for field in fields(cls)}
        pairs = dict(pair.split("=") for pair in text.split(","))
        values: dict[str, Any] = {name: types[name](value) for name, value in pairs.items()}
        return cls(**values)


@dataclass(frozen=True)
class ClipOutputs:
    """Outputs for a clip of T frames and C names, and its ground truth H x W.

    Attributes:
        measures: For each kind of audio, form and smoothing, the values that the form compares with
            its threshold, (T, C).
        silent: For each kind of audio, whether a frame is silent, (T,).
        masks: Predicted mask of each frame and name that any rule may select, (H, W) bool.
        object_scores: Scores of the masks, (T, C); 0 for an empty mask.
        truth: Ground-truth masks, (T, H, W) bool.
        sounding: Names that sound and are visible, (T, C) bool; None if the data do not name them
            with the names of the vocabulary.
    """

    measures: dict[tuple[str, str, float], Tensor]
    silent: dict[str, Tensor]
    masks: dict[tuple[int, int], Tensor]
    object_scores: Tensor
    truth: Tensor
    sounding: Tensor | None


class Collector:
    """Runs the two parts of a cascade on clips of a split.

    Args:
        segmenter: A cascade.
        split: The data.
        nothing: Name of audio without a sounding object; None to leave out the margin.
    """

    def __init__(self, segmenter: Segmenter, split: AVSBench, nothing: str | None) -> None:
        self.names = segmenter.vocabulary
        # One more name, which is scored and never selected.
        self.segmenter = segmenter.with_vocabulary(*self.names, nothing) if nothing else segmenter
        self.split, self.has_nothing = split, nothing is not None
        self.model = cast("CascadeModel", segmenter.model)
        self.generated = find_synthavs_split(split)
        self.contents = read_contents(split, self.generated)

    @torch.inference_mode()
    def run(self, index: int) -> ClipOutputs:
        """Compute the outputs of one clip."""
        clip = self.split[index]
        audio = {"original": clip.clip.audio}
        rng = np.random.default_rng(index)
        audio["noise"] = rng.normal(0, NOISE_RMS, audio["original"].shape).astype(np.float32)
        other = None if self.contents is None else find_off_screen_audio(self.contents, index)
        if other is not None:
            audio["off-screen"] = self.split[other].clip.audio
        processor = cast("CascadeProcessor", self.segmenter.processor)
        device = self.segmenter.device
        inputs = {name: values.to(device) for name, values in processor(clip.clip).items()}
        texts = {name: inputs[name] for name in self.model.namer.text_inputs if name in inputs}
        measures, silent = {}, {}
        for kind, values in audio.items():
            shifted = self._windows(index, values)
            prepared = [processor.sound.prepare_windows(windows) for windows in shifted]
            scores = torch.stack(
                [
                    self.model.score_audio({n: v.to(device) for n, v in each.items()}, texts)
                    for each in prepared
                ]
            )
            measures |= {(kind, *key): found.cpu() for key, found in self._measure(scores).items()}
            levels = 20 * shifted[SHIFTS_S.index(0.0)].square().mean(1).sqrt().log10()
            silent[kind] = levels <= SILENCE_DBFS
        frames, selected = candidates(measures)
        found = self.model.segmenter.segment_prompts(
            {n: inputs[n][0] for n in self.model.segmenter.image_inputs if n in inputs},
            {n: inputs[n][selected] for n in self.model.segmenter.text_inputs},
            frames.to(device),
        )
        cut = resize_logits(found.mask_logits.cpu(), clip.masks.shape[1:]) > 0
        pairs = zip(frames.tolist(), selected.tolist(), strict=True)
        masks = dict(zip(pairs, cut, strict=True))
        object_scores = torch.zeros(len(clip.masks), len(self.names))
        object_scores[frames, selected] = found.scores.cpu() * cut.flatten(1).any(1)
        truth = torch.from_numpy(clip.masks)
        return ClipOutputs(
            measures, silent, masks, object_scores, truth, self._sounding(index, truth)
        )

    def _windows(self, index: int, audio: np.ndarray) -> Tensor:
        """Cut the windows of each frame at each shift, (shifts, T, samples)."""
        clip = self.split[index].clip
        rate = clip.sample_rate
        length = round(self.model.config.window_s * rate)
        padding = length + rate
        # The audio of another clip may be shorter.
        padded = np.pad(audio, (padding, padding + max(0, len(clip.audio) - len(audio))))
        times = np.round((clip.audio_times - clip.audio_start_s) * rate).astype(int)
        starts = times - length // 2 + padding
        rows = [[padded[s + round(d * rate) :][:length] for s in starts] for d in SHIFTS_S]
        return torch.from_numpy(np.array(rows))

    def _measure(self, scores: Tensor) -> dict[tuple[str, float], Tensor]:
        """Compute the values of each form from scores at each shift, (shifts, T, C) to (T, C)."""
        measures: dict[tuple[str, float], Tensor] = {}
        for smoothing_s in SMOOTHINGS_S:
            near = [i for i, shift in enumerate(SHIFTS_S) if abs(shift) <= smoothing_s / 2 + 1e-6]
            smooth = scores[near].mean(0)
            names = smooth[:, : len(self.names)]
            shares = self.model.namer.shares(names)
            fits = names > self.model.config.min_score
            found = {"score": names, "share": shares, "both": shares.masked_fill(~fits, -1.0)}
            if self.has_nothing:
                found["margin"] = names - smooth[:, -1:]
                found["share_nothing"] = self.model.namer.shares(smooth)[:, :-1]
            measures |= {(form, smoothing_s): values for form, values in found.items()}
        return measures

    def _sounding(self, index: int, truth: Tensor) -> Tensor | None:
        """Return which names sound and are visible in each frame, (T, C) bool."""
        sounding = torch.zeros(len(truth), len(self.names), dtype=torch.bool)
        if self.generated is not None:
            drawn = self.generated.draw(index)
            for second in range(drawn.seconds):
                for category in drawn.sounding(second).values():
                    sounding[second, self.names.index(category)] = True
            return sounding
        if self.contents is None:
            return None
        # AVSBench lists the names of a clip, not of a frame, with hyphens for spaces.
        audible = [name.replace("-", " ") for name in self.contents[index].audible]
        if not set(audible) <= set(self.names):
            return None
        sounding[:, [self.names.index(name) for name in audible]] = True
        return sounding & truth.flatten(1).any(1, keepdim=True)


def candidates(measures: dict[tuple[str, str, float], Tensor]) -> tuple[Tensor, Tensor]:
    """Return frame and name of each prompt that any rule may select."""
    wanted = torch.zeros(next(iter(measures.values())).shape, dtype=torch.bool)
    for values in measures.values():
        wanted.scatter_(1, values.topk(max(MAX_NAMES), dim=1).indices, value=True)
    frames, names = wanted.nonzero(as_tuple=True)
    return frames, names


def select(clip: ClipOutputs, kind: str, rule: Rule) -> Tensor:
    """Return the names that a rule selects for one kind of audio, (T, C) bool."""
    best = clip.measures[kind, rule.form, rule.smoothing_s].topk(rule.max_names, dim=1)
    chosen = torch.zeros(clip.object_scores.shape, dtype=torch.bool)
    chosen = chosen.scatter(1, best.indices, best.values > rule.threshold)
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
        if clip.sounding is not None:
            right += int((chosen & clip.sounding).sum())
            predicted += int(chosen.sum())
            sounding += int(clip.sounding.sum())
        for kind in clip.silent.keys() - {"original"}:
            marked[kind] += select(clip, kind, rule).any(1).tolist()
    named = {"names right": right / max(1, predicted), "names found": right / max(1, sounding)}
    return {
        "J": float(np.mean(ious)),
        **(named if sounding else {}),
        **{f"{kind} marked": float(np.mean(values)) for kind, values in marked.items() if values},
    }


def rank(scores: dict[str, float]) -> float:
    """Return J minus half the mean share of frames marked with noise and off-screen sounds."""
    # J alone would accept masks for audio without a visible source.
    wrong = [
        scores[f"{kind} marked"] for kind in ("noise", "off-screen") if f"{kind} marked" in scores
    ]
    return scores["J"] - 0.5 * sum(wrong) / len(wrong)


def main() -> None:
    """Print the best rules; with the options of one rule, only that one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cascade", help="name or folder of a cascade")
    parser.add_argument("data", type=Path)
    parser.add_argument("--subset", choices=("s4", "ms3"), required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--nothing", help="name of audio without a sounding object")
    parser.add_argument("--rule", type=Rule.parse, nargs="+", help="evaluate only these")
    options = parser.parse_args()
    segmenter = load_segmenter(options.cascade, options.device)
    split = AVSBench(options.data, options.subset, options.split, segmenter.processor.sample_rate)
    collector = Collector(segmenter, split, options.nothing)
    outputs = [collector.run(index) for index in range(min(options.clips, len(split)))]
    forms = {form for _, form, _ in outputs[0].measures}
    rules = options.rule or [
        Rule(form, *values)
        for form in forms
        for values in product(THRESHOLDS[form], SMOOTHINGS_S, MIN_OBJECT_SCORES, MAX_NAMES)
    ]
    found = [(rule, evaluate(outputs, rule)) for rule in rules]
    found.sort(key=lambda each: rank(each[1]))
    print(f"{options.subset}/{options.split}, {len(outputs)} clips")
    # The last one of each form is its best.
    best = {rule.form: (rule, scores) for rule, scores in found}
    for rule, scores in [*best.values(), *found]:
        values = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(",".join(f"{name}={value}" for name, value in asdict(rule).items()) + f": {values}")


if __name__ == "__main__":
    main()
