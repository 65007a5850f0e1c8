"""Options of every task that can be trained, and the mapping from task names to them.

A recipe's `data` section has the fields of one of these classes; the classes of the pre-training
tasks are in `pretraining/options.py`. This module needs no torch, so that a wrong recipe is
reported at once; `building.py` builds the tasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from avseg.errors import TrainingError
from avseg.training.parts import SEGMENTER, TOWER
from avseg.training.pretraining.options import (
    AudioImageText,
    AudioText,
    ImageClass,
    ImageText,
    Sam3TextPrompt,
    TextPrompt,
)

if TYPE_CHECKING:
    from avseg.models.auralsam2.configuration import AuralSam2Config
    from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
    from avseg.models.sama.configuration import SamaConfig
    from avseg.models.tavis.configuration import TavisConfig
    from avseg.models.tpavi.configuration import TpaviConfig


class TaskOptions(Protocol):
    """A recipe's `data` section: a dataclass with the options of a task.

    Attributes:
        part_prefixes: Part of the model that a recipe's `start_from` may name -> prefix of the
            names of its weights in the run that trained it.
    """

    part_prefixes: ClassVar[Mapping[str, str]]

    @staticmethod
    def config_class() -> type[Any]:
        """Return the configuration class of the task's model.

        The return annotation must name the class, because validation reads it from the source code
        without an import. A recipe's `model` section has the options that differ from the defaults
        of the class, or, with `sizes: small`, from the options of its `tiny()`.
        """


class DataSetOptions:
    """Options of a task that reads data sets; the base of their dataclasses.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split", or several joined by "+" that are evaluated
            as one data set.
        tested: Evaluation data that is evaluated after the training only.
    """

    # Not a dataclass: subclasses declare the fields, since their order and defaults differ.
    train: tuple[str, ...]
    measured: tuple[str, ...]
    tested: tuple[str, ...]

    def splits(self) -> list[str]:
        """Return every "subset/split" that the task reads."""
        names = (*self.train, *self.measured, *self.tested)
        return [split for name in names for split in name.split("+")]


@dataclass(frozen=True)
class BridgeOptions(DataSetOptions):
    """Options that the trainings of both bridges share.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split", evaluated during and after the training.
        off_screen: Number of added frames with an off-screen sound and an empty ground truth, for
            each frame of the data; at least 0. Ignored by a model that uses no audio.
        tested: Evaluation data, each "subset/split", evaluated after the training only.
    """

    # Runs that pre-train CLIP or CLAP name it "tower"; runs that train an EVF-SAM or a SAM 3, and
    # saved models of both, name it "segmenter".
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "clip": TOWER,
        "clap": TOWER,
        "segmenter": SEGMENTER,
    }

    train: tuple[str, ...]
    measured: tuple[str, ...]
    off_screen: float
    tested: tuple[str, ...] = ()


class AudioVisual(BridgeOptions):
    """Training of AV2T-SAM."""

    @staticmethod
    def config_class() -> "type[Av2tSamConfig]":
        """Return the configuration class of AV2T-SAM."""
        from avseg.models.av2t_sam.configuration import Av2tSamConfig

        return Av2tSamConfig


class AudioVisualSam3(BridgeOptions):
    """Training of AV2T-SAM on SAM 3."""

    @staticmethod
    def config_class() -> "type[Av2tSam3Config]":
        """Return the configuration class of AV2T-SAM on SAM 3."""
        from avseg.models.av2t_sam.configuration import Av2tSam3Config

        return Av2tSam3Config


@dataclass(frozen=True)
class BaselineOptions(DataSetOptions):
    """Options that both baselines share.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split" with a ground truth for every frame,
            evaluated during and after the training.
        off_screen: Number of added clips with an off-screen sound and an empty ground truth, for
            each clip of the data; at least 0.
        tested: Evaluation data, each "subset/split" with a ground truth for every frame, evaluated
            after the training only.
    """

    train: tuple[str, ...]
    measured: tuple[str, ...]
    off_screen: float
    tested: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sama(BaselineOptions):
    """Training of SAMA-AVS, on single frames."""

    # SAMA-AVS starts from the SAM 2 inside an EVF-SAM, and from the tower of a CLAP run.
    part_prefixes: ClassVar[Mapping[str, str]] = {"sam": f"{SEGMENTER}sam.", "clap": TOWER}

    @staticmethod
    def config_class() -> "type[SamaConfig]":
        """Return the configuration class of SAMA-AVS."""
        from avseg.models.sama.configuration import SamaConfig

        return SamaConfig


@dataclass(frozen=True)
class Tpavi(BaselineOptions):
    """Training of AVSBench's own model, on whole clips."""

    part_prefixes: ClassVar[Mapping[str, str]] = {
        # Only the image encoder of the SAM 2 inside an EVF-SAM.
        "hiera": f"{SEGMENTER}sam.sam2.vision_encoder.backbone.",
        "clap": TOWER,
    }

    @staticmethod
    def config_class() -> "type[TpaviConfig]":
        """Return the configuration class of AVSBench's model."""
        from avseg.models.tpavi.configuration import TpaviConfig

        return TpaviConfig


@dataclass(frozen=True)
class TextBridge(DataSetOptions):
    """Training of TAViS.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split", or several joined by "+" that are evaluated
            as one data set.
        tested: Evaluation data that is evaluated after the training only.
        classes: Names among which the model chooses during training; clips with other classes are
            omitted. Empty for all names. In evaluation the model chooses among all names.
        frames_alone: Whether each annotated frame is a training example of its own, without memory
            of the frames before it.
        off_screen: Number of added frames with an off-screen sound and an empty ground truth, for
            each annotated frame; at least 0. Needs `frames_alone`.
        seen: Names whose scores are reported separately from those of the others; empty for
            `classes`.

    Raises:
        TrainingError: If `off_screen` is above 0 without `frames_alone`.
    """

    # The small TAViS starts from the SAM 2 inside an EVF-SAM, hence the prefix of "sam".
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "imagebind": "imagebind.",
        "sam": f"{SEGMENTER}sam.",
        "memory": "memory.",
    }

    train: tuple[str, ...]
    measured: tuple[str, ...]
    tested: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    frames_alone: bool = False
    off_screen: float = 0.0
    seen: tuple[str, ...] = ()

    # The memory connects the frames of a clip, so a single frame cannot have the audio of another
    # clip.
    def __post_init__(self) -> None:
        if self.off_screen and not self.frames_alone:
            raise TrainingError(
                f"data.off_screen={self.off_screen}: only single frames can have an off-screen "
                "sound; set data.frames_alone=true, or data.off_screen=0.0."
            )

    @staticmethod
    def config_class() -> "type[TavisConfig]":
        """Return the configuration class of TAViS."""
        from avseg.models.tavis.configuration import TavisConfig

        return TavisConfig


@dataclass(frozen=True)
class AuralSam2(DataSetOptions):
    """Training of AuralSAM2, on whole clips.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split" with a ground truth for every frame,
            evaluated during and after the training.
        tested: Evaluation data, each "subset/split" with a ground truth for every frame, evaluated
            after the training only.
    """

    # The small AuralSAM2 starts from the SAM 2 inside an EVF-SAM, hence the prefix of "sam".
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "sam": f"{SEGMENTER}sam.",
        "memory": "memory.",
        "vggish": "vggish.",
    }

    train: tuple[str, ...]
    measured: tuple[str, ...]
    tested: tuple[str, ...] = ()

    @staticmethod
    def config_class() -> "type[AuralSam2Config]":
        """Return the configuration class of AuralSAM2."""
        from avseg.models.auralsam2.configuration import AuralSam2Config

        return AuralSam2Config


#: Name of a task in a recipe -> class of its options.
TASKS: dict[str, type[TaskOptions]] = {
    "image-text": ImageText,
    "audio-text": AudioText,
    "image-class": ImageClass,
    "text-prompt": TextPrompt,
    "text-prompt-sam3": Sam3TextPrompt,
    "audio-image-text": AudioImageText,
    "audio-visual": AudioVisual,
    "audio-visual-sam3": AudioVisualSam3,
    "text-bridge": TextBridge,
    "sama": Sama,
    "tpavi": Tpavi,
    "auralsam2": AuralSam2,
}
