"""Pre-training of the small ImageBind on pictures, sounds and texts of SynthAVS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import default_collate

from avseg.backbones.imagebind import ImageBindConfig, spectrograms
from avseg.models.pixels import CLIP_STATISTICS, normalise
from avseg.synthavs.captions import category_captions
from avseg.synthavs.categories import SEEN_STYLES, TRAIN_STYLES, UNSEEN_STYLES
from avseg.synthavs.corpora import AudioImageTextCorpus, load_sound_bank
from avseg.training.measures import BindingMeasure
from avseg.training.parts import CLIP_STEM, WHOLE, load_parts
from avseg.training.pretraining.imagebind_objective import BindingPretraining
from avseg.training.tasks.task import Materials, Task

#: Seed of every evaluation corpus; the training corpus takes its own from the recipe.
_EVALUATION_SEED = 990_000

#: Recordings of each category in the evaluation corpora.
_EVALUATION_RECORDINGS = 12

#: Art styles of each evaluation corpus; their sounds are always of unheard voices.
_EVALUATION_STYLES = {"seen": SEEN_STYLES, "unseen": UNSEEN_STYLES}


@dataclass(frozen=True)
class AudioImageText:
    """Pre-training of the small ImageBind.

    Attributes:
        size: Items in the training corpus.
        seed: Of the training corpus.
        measured_size: Items in each evaluation corpus.
        recordings: Of each category, from which the training mixtures are made.
    """

    config_class: ClassVar[type[Any]] = ImageBindConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {"stem": CLIP_STEM}

    size: int
    seed: int
    measured_size: int
    recordings: int

    def build(self, materials: Materials[ImageBindConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.
        """
        config = materials.config
        side = config.vision.image_size
        heard = load_sound_bank(materials.sounds, self.recordings, "train")
        unheard = load_sound_bank(materials.sounds, _EVALUATION_RECORDINGS, "test")

        def collate(items: list[Any]) -> dict[str, Tensor]:
            batch: dict[str, Tensor] = default_collate(items)
            batch["pixel_values"] = normalise(batch.pop("images"), CLIP_STATISTICS)
            batch["spectrograms"] = spectrograms(batch.pop("audio_values"), config.audio)
            return batch

        model = BindingPretraining(config, torch.from_numpy(category_captions()))
        stem = model.imagebind.vision_tower.stem
        load_parts({"stem": stem, WHOLE: model}, materials.parts)
        return Task(
            model=model,
            train=AudioImageTextCorpus(self.size, TRAIN_STYLES, side, heard, self.seed),
            measured={
                name: AudioImageTextCorpus(
                    self.measured_size, styles, side, unheard, _EVALUATION_SEED
                )
                for name, styles in _EVALUATION_STYLES.items()
            },
            collate=collate,
            measure=BindingMeasure,
        )
