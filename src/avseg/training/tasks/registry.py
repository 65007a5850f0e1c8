"""What can be learned: for each task the options that a recipe gives, its model and its data.

Those here make the small backbones from pairs of one modality with words. `binding.py` makes the
small ImageBind; `audio_visual.py` teaches the bridge between sound and picture, AV2T-SAM itself;
`baselines.py` what it is compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipImageTower, ClipTextTower
from avseg.backbones.tokenizing import WordTokenizer
from avseg.checkpoints.model_folder import weights_file
from avseg.models.av2t_sam.configuration import Av2tSamConfig
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel, EvfSamProcessor
from avseg.models.pixels import (
    BEIT3_STATISTICS,
    CLIP_STATISTICS,
    SAM_STATISTICS,
    normalise,
)
from avseg.models.tiny import tiny_text_tower
from avseg.synthavs.captions import WORDS, category_captions
from avseg.synthavs.categories import (
    CATEGORIES,
    SEEN_STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
)
from avseg.synthavs.corpora import (
    AudioTextCorpus,
    ImageTextCorpus,
    TextPromptCorpus,
    load_sound_bank,
)
from avseg.training.measures import ClassMeasure, ContrastMeasure, TextPromptMeasure
from avseg.training.parts import CLIP_STEM, SEGMENTER, WHOLE, Part, load_part, load_parts
from avseg.training.pretraining.imagebind import AudioImageText
from avseg.training.pretraining.objectives import (
    ClassPretraining,
    ContrastivePretraining,
    LocatedContrastivePretraining,
    TextPromptedPretraining,
)
from avseg.training.tasks.audio_visual import AudioVisual
from avseg.training.tasks.baselines import Sama, Tpavi
from avseg.training.tasks.task import Materials, Task, TaskOptions
from avseg.training.tasks.tavis import TextBridge

#: Seed of every evaluation corpus; training corpora take theirs from the recipe.
_EVALUATION_SEED = 990_000

#: Recordings of each category in the evaluation corpus.
_EVALUATION_RECORDINGS = 12

#: Folder of a text-prompted run for the model that can be loaded and used.
EVF_SAM = "evf_sam"

#: Art styles of each evaluation corpus.
_EVALUATION_STYLES = {"seen": SEEN_STYLES, "unseen": UNSEEN_STYLES}


@dataclass(frozen=True)
class Pictures:
    """Options of a task that learns from pictures alone.

    Attributes:
        size: Pictures in the training corpus.
        seed: Of the training corpus.
        measured_size: Pictures in each evaluation corpus.
    """

    config_class: ClassVar[type[Any]] = Av2tSamConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {}

    size: int
    seed: int
    measured_size: int

    def corpora(self, side: int) -> tuple[Dataset[Any], dict[str, Dataset[Any]]]:
        """Draw the corpora.

        Args:
            side: Of the pictures, in pixels.

        Returns:
            The training corpus, and the evaluation corpora by name.
        """
        measured: dict[str, Dataset[Any]] = {
            name: ImageTextCorpus(self.measured_size, styles, side, _EVALUATION_SEED)
            for name, styles in _EVALUATION_STYLES.items()
        }
        return ImageTextCorpus(self.size, TRAIN_STYLES, side, self.seed), measured


@dataclass(frozen=True)
class ImageText(Pictures):
    """Pre-training of the small CLIP."""

    def build(self, materials: Materials[Av2tSamConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.
        """
        config = materials.config.clip_config
        train, measured = self.corpora(config.image_size)

        def collate(items: list[Any]) -> dict[str, Tensor]:
            batch = default_collate(items)
            inputs = normalise(batch["images"], CLIP_STATISTICS)
            return {"inputs": inputs, "present": batch["present"], "classes": batch["classes"]}

        model = LocatedContrastivePretraining(
            ClipImageTower(config), _text_tower(config.projection_dim), _captions()
        )
        load_parts({WHOLE: model}, materials.parts)
        return Task(
            model=model,
            train=train,
            measured=measured,
            collate=collate,
            measure=ContrastMeasure,
        )


@dataclass(frozen=True)
class AudioText:
    """Pre-training of the small CLAP.

    Attributes:
        size: Mixtures in the training corpus.
        seed: Of the training corpus.
        measured_size: Mixtures in the evaluation corpus.
        recordings: Of each category, from which the training mixtures are made.
    """

    config_class: ClassVar[type[Any]] = Av2tSamConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {}

    size: int
    seed: int
    measured_size: int
    recordings: int

    def build(self, materials: Materials[Av2tSamConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.
        """
        config = materials.config.clap_config
        heard = load_sound_bank(materials.sounds, self.recordings, "train")
        unheard = load_sound_bank(materials.sounds, _EVALUATION_RECORDINGS, "test")

        def collate(items: list[Any]) -> dict[str, Tensor]:
            batch = default_collate(items)
            return {"inputs": batch["audio_values"], "present": batch["present"]}

        model = ContrastivePretraining(
            ClapAudioTower(config), _text_tower(config.projection_dim), _captions()
        )
        load_parts({WHOLE: model}, materials.parts)
        return Task(
            model=model,
            train=AudioTextCorpus(self.size, heard, self.seed),
            measured={"unseen": AudioTextCorpus(self.measured_size, unheard, _EVALUATION_SEED)},
            collate=collate,
            measure=ContrastMeasure,
        )


@dataclass(frozen=True)
class ImageClass(Pictures):
    """Pre-training of the small SAM 2's image encoder."""

    def build(self, materials: Materials[Av2tSamConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.
        """
        config = materials.config.sam_config
        train, measured = self.corpora(config.image_size)

        def collate(items: list[Any]) -> dict[str, Tensor]:
            batch: dict[str, Tensor] = default_collate(items)
            images = normalise(batch["images"], SAM_STATISTICS)
            return {"pixel_values_sam": images, "classes": batch["classes"]}

        model = ClassPretraining(config, len(CATEGORIES))
        load_parts({WHOLE: model}, materials.parts)
        return Task(
            model=model,
            train=train,
            measured=measured,
            collate=collate,
            measure=ClassMeasure,
        )


@dataclass(frozen=True)
class TextPrompt:
    """Pre-training of the small EVF-SAM.

    Attributes:
        size: Pictures in the training corpus.
        seed: Of the training corpus.
        measured_size: Pictures in each evaluation corpus.
        prompts: Captions of each picture.
        learn_encoders: Whether the image encoders learn too, or the mask decoder alone.
    """

    config_class: ClassVar[type[Any]] = Av2tSamConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "segmenter": SEGMENTER,
        "sam": "sam.",
        "stem": CLIP_STEM,
    }

    size: int
    seed: int
    measured_size: int
    prompts: int
    learn_encoders: bool

    def build(self, materials: Materials[Av2tSamConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.
        """
        sam, beit3 = materials.config.sam_config, materials.config.beit3_config
        side = sam.image_size

        def collate(items: list[Any]) -> dict[str, Tensor]:
            batch: dict[str, Tensor] = default_collate(items)
            images = batch.pop("images")
            batch["pixel_values_sam"] = normalise(images, SAM_STATISTICS)
            batch["pixel_values_beit3"] = normalise(images, BEIT3_STATISTICS)
            return batch

        model = TextPromptedPretraining(sam, beit3, len(CATEGORIES), self.learn_encoders)
        modules = {
            "segmenter": model.segmenter,
            "sam": model.segmenter.get_submodule("sam"),
            "stem": model.segmenter.beit3.vision_embed.proj,
            WHOLE: model,
        }
        load_parts(modules, materials.parts)
        return Task(
            model=model,
            train=TextPromptCorpus(self.size, TRAIN_STYLES, side, self.prompts, self.seed),
            measured={
                name: TextPromptCorpus(
                    self.measured_size, styles, side, self.prompts, _EVALUATION_SEED
                )
                for name, styles in _EVALUATION_STYLES.items()
            },
            collate=collate,
            measure=TextPromptMeasure,
            finish=lambda run: save_evf_sam(materials.config, weights_file(run), run / EVF_SAM),
        )


def save_evf_sam(config: Av2tSamConfig, weights: Path, folder: Path) -> None:
    """Save the EVF-SAM inside a run of text-prompted pre-training, without the helping heads.

    Args:
        config: Sizes of the run's model.
        weights: The run's weights.
        folder: Where the model goes, with its processor and the words of the captions.

    Raises:
        TrainingError: If the run trained a model of other sizes.
    """
    evf_sam = EvfSamConfig.tiny(sam_config=config.sam_config, beit3_config=config.beit3_config)
    model = EvfSamModel(evf_sam)
    load_part(model.segmenter, Part(weights, SEGMENTER))
    model.save_pretrained(folder)
    EvfSamProcessor.from_config(evf_sam, WordTokenizer(WORDS)).save_pretrained(folder)


#: Name of a task, as recipes give it, to the class of its options.
TASKS: dict[str, type[TaskOptions]] = {
    "image-text": ImageText,
    "audio-text": AudioText,
    "image-class": ImageClass,
    "text-prompt": TextPrompt,
    "audio-image-text": AudioImageText,
    "audio-visual": AudioVisual,
    "text-bridge": TextBridge,
    "sama": Sama,
    "tpavi": Tpavi,
}


def _captions() -> Tensor:
    return torch.from_numpy(category_captions())


def _text_tower(width: int) -> ClipTextTower:
    return ClipTextTower(tiny_text_tower(len(WORDS), category_captions().shape[1], width))
