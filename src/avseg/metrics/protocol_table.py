"""The published protocols: how each paper's code computes J and F, with the place of each quirk.

Most papers report "mIoU" and "F" by AVSBench's two functions, but their codes apply the functions
to other values, at other sizes, or in other batches. docs/explanation/metrics.md explains when to
use which protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

#: Values that F compares with its thresholds.
Scores = Literal["probabilities", "logits", "softmax of probabilities"]

#: Effect of each quirk; {} is replaced by its value.
_EFFECTS = {
    "clips_per_batch": "batches of {} clips: F takes one threshold for each, and all batches have "
    "equal weight, also a smaller last one",
    "threshold": "pixels above {} are marked, not above 0.5",
    "f_scores": "F compares its thresholds with the {}, not with the probabilities",
    "f_is_swept": "F is taken at the threshold of the masks, not at the best of 255",
    "silence_is_strict": "a silent frame scores 1 if no pixel is marked and 0 otherwise, not the "
    "share of its pixels that is not marked",
    "is_pooled": "pixels of all frames together, mean of object and background, F at the threshold "
    "of the masks",
    "side": "scored at {0} x {0} pixels, not at the size of the stored frames",
    "truth_grows": "a resized ground-truth mask has every pixel that the original mask touches",
}
_WHOLE_SET = (
    "one batch of all clips: F takes one threshold for the data set, frames have equal weight"
)


@dataclass(frozen=True)
class Quirk:
    """One difference between a published code and AVSBench's functions on single clips.

    Attributes:
        name: Field of `Protocol` that describes it.
        effect: Its effect on the scores.
        source: Its place in the published code.
    """

    name: str
    effect: str
    source: str


@dataclass(frozen=True)
class Protocol:
    """Rules by which one code computes J and F; the defaults are AVSBench's, on single clips.

    Attributes:
        title: Name to print.
        code: Repository and commit; "avseg" for our own.
        clips_per_batch: Number of clips that are scored together; None for the whole data set.
        threshold: Probability above which a pixel is marked.
        f_scores: Values that F compares with its thresholds.
        f_is_swept: Whether F is the best over 255 thresholds; otherwise it is at `threshold`.
        silence_is_strict: Whether a silent frame scores 1 or 0 (`strict_mask_iou`).
        is_pooled: Whether pixels of all frames are counted together, for object and background.
        side: Side of the square to which masks are resized, in pixels; None for the annotated size.
        truth_grows: Whether a resized ground-truth mask has every pixel that the original mask
            touches; otherwise each pixel has the value of the nearest original pixel.
        sources: Name of each field that differs from the default -> its place in the code.
        quirks: The differences from AVSBench's functions on single clips.
    """

    title: str
    code: str
    clips_per_batch: int | None = 1
    threshold: float = 0.5
    f_scores: Scores = "probabilities"
    f_is_swept: bool = True
    silence_is_strict: bool = False
    is_pooled: bool = False
    side: int | None = None
    truth_grows: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)
    quirks: tuple[Quirk, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Build the descriptions of the quirks."""
        quirks = tuple(
            Quirk(name, self._effect(name), where) for name, where in self.sources.items()
        )
        object.__setattr__(self, "quirks", quirks)  # a frozen dataclass allows no assignment

    def _effect(self, name: str) -> str:
        value = getattr(self, name)
        return _WHOLE_SET if value is None else _EFFECTS[name].format(value)


_OURS = "avseg"

#: Protocols by name; read-only, since a changed protocol would not give the published figures.
#: `side` is set if the code resizes; S4 and MS3 are stored at 224 x 224 pixels.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "tpavi": Protocol(
            title="AVSBench (TPAVI)",
            code="OpenNLPLab/AVSBench@f7414af",
        ),
        "tpavi-batch4": Protocol(
            title="AVSBench, as its test.sh",
            code="OpenNLPLab/AVSBench@f7414af",
            clips_per_batch=4,
            sources={"clips_per_batch": "avs_scripts/avs_ms3/test.sh: --test_batch_size 4"},
        ),
        "avsegformer": Protocol(
            title="AVSegFormer",
            code="vvvb-github/AVSegFormer@7083cb6",
            clips_per_batch=2,
            side=512,
            sources={
                "clips_per_batch": "config/ms3/AVSegFormer_pvt2_ms3.py: batch_size of the test set",
                "side": "dataloader/ms3_dataset.py: Resize([512, 512]) of frames and masks",
            },
        ),
        "combo": Protocol(
            title="COMBO",
            code="yannqi/COMBO-AVS@cb8af1c",
            f_scores="softmax of probabilities",
            sources={
                "f_scores": "models/evaluation/sem_seg_evaluation.py: process() applies the "
                "softmax to the two probabilities of object and background"
            },
        ),
        "sama-avs": Protocol(
            title="SAMA-AVS",
            code="jinxiang-liu/anno-free-AVS@15e6b04",
            f_scores="logits",
            side=1024,
            sources={
                "f_scores": "utility.py: Eval_Fmeasure() without its sigmoid",
                "side": "test_avs.py: --inp_size 1024, of frames and masks",
            },
        ),
        "tavis": Protocol(
            title="TAViS",
            code="Sssssuperior/TAViS@00212fe",
            f_scores="logits",
            sources={"f_scores": "utility.py: Eval_Fmeasure() without its sigmoid"},
        ),
        "av2t-sam": Protocol(
            title="AV2T-SAM",
            code="bok-bok/AV2T-SAM@d7cac49",
            f_scores="logits",
            sources={"f_scores": "utility.py: Eval_Fmeasure() without its sigmoid"},
        ),
        "gavs": Protocol(
            title="GAVS",
            code="GeWu-Lab/Generalizable-Audio-Visual-Segmentation@753b23b",
            threshold=0.4,
            sources={"threshold": "GAVS/segment_anything/utils/v1m/utility.py: mask_iou()"},
        ),
        "ref-avs": Protocol(
            title="Ref-AVS",
            code="GeWu-Lab/Ref-AVS@82eb688",
            clips_per_batch=4,
            threshold=0.4,
            side=256,
            truth_grows=True,
            sources={
                "clips_per_batch": "run_refavs.py: batch_size of val_loader",
                "threshold": "utils/metric/utility.py: mask_iou()",
                "side": "datasets/dataset_refavs.py: cv2.resize(mask, (256, 256))",
                "truth_grows": "datasets/dataset_refavs.py: the resized mask > 0, bilinear",
            },
        ),
        "cavp": Protocol(
            title="CAVP, data set",
            code="cyh-0/CAVP@96a6c34",
            clips_per_batch=None,
            is_pooled=True,
            sources={
                "is_pooled": "utils/eval_utils.py: MIoU and ForegroundDetect, called in "
                "trainer/trainer_cavp_avs_obj.py"
            },
        ),
        "whole-set": Protocol(
            title="one threshold for all",
            code=_OURS,
            clips_per_batch=None,
            sources={"clips_per_batch": "docs/explanation/metrics.md"},
        ),
        "strict": Protocol(
            title="strict in silence, F at 0.5",
            code=_OURS,
            clips_per_batch=None,
            f_is_swept=False,
            silence_is_strict=True,
            sources={
                "f_is_swept": "docs/explanation/metrics.md",
                "silence_is_strict": "docs/explanation/metrics.md",
            },
        ),
    }
)
