"""Shift a trained model's object score so that frames in which nothing sounds stay clean.

python tools/calibrate_presence.py RUN DATA OUT

The shift is found on the validation clips of MS3: it is the least with which 97 % of their silent
frames get a score of at most 0, for which a model with `suppress_absent` marks nothing.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from avseg.datasets import AVSBench
from avseg.evaluation.prediction import prepare, read_waveform
from avseg.export.partial import replace_when_complete
from avseg.models.processor import required
from avseg.segmenter import Segmenter, load_segmenter

#: Share of the silent frames that must stay clean.
_CLEAN = 0.97

#: Half precision may round the shift by so much.
_ROUNDING = 0.01

_BIAS = "mask_decoder.pred_obj_score_head.proj_out.bias"


def main(run: Path, data: Path, out: Path) -> None:
    """Save the model of a run with a shifted object score.

    Args:
        run: Folder of the run.
        data: Folder of the data sets.
        out: Where the model goes.
    """
    segmenter = load_segmenter(run, "cpu")
    scores = silent_scores(segmenter, AVSBench(data, "ms3", "val", segmenter.processor.sample_rate))
    shift = find_shift(scores)
    (bias,) = (v for name, v in segmenter.model.named_parameters() if name.endswith(_BIAS))
    bias.data -= shift
    with replace_when_complete(out) as partial:
        segmenter.model.save_pretrained(partial)
        segmenter.processor.save_pretrained(partial)
    print(f"{out}: object score lowered by {shift:.2f}, from {len(scores)} silent frames")


@torch.inference_mode()
def silent_scores(segmenter: Segmenter, split: AVSBench) -> Tensor:
    """Ask for the object scores of the frames in which there is nothing to mark.

    Args:
        segmenter: The model and its processor.
        split: The data.

    Returns:
        The scores, before the sigmoid, one for each frame.
    """
    scores = []
    for index, clip in enumerate(split):
        sound = read_waveform(segmenter, split, index)
        outputs = segmenter.model(**prepare(segmenter, clip.clip, sound))
        of_frames = required(outputs.object_score_logits, "object_score_logits")[0].float()
        scores.append(of_frames[torch.from_numpy(~clip.masks.any((1, 2)) & clip.annotated)])
    return torch.cat(scores)


def find_shift(scores: Tensor) -> float:
    """Find by how much the scores of silent frames must be lowered.

    Args:
        scores: Before the sigmoid, one for each silent frame.

    Returns:
        The shift, at least 0.
    """
    allowed = int((1 - _CLEAN) * len(scores))  # so many frames may stay above 0
    return max(0.0, float(scores.sort(descending=True).values[allowed]) + _ROUNDING)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("run", "data", "out"):
        parser.add_argument(name, type=Path)
    main(**vars(parser.parse_args()))
