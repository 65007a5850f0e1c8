"""Models and corpora of the tasks that pre-train the small backbones on SynthAVS.

Four tasks train with images or audio and their captions. `build_audio_image_text` trains the small
ImageBind with images, audio and texts together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from avseg.atomic import add_when_complete
from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipImageTower, ClipTextTower
from avseg.backbones.imagebind import ImageBindConfig, spectrograms
from avseg.backbones.tokenizing import WordTokenizer
from avseg.checkpoints.model_folder import weights_file
from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel, EvfSamProcessor
from avseg.models.processor import (
    BEIT3_STATISTICS,
    CLIP_STATISTICS,
    SAM3_STATISTICS,
    SAM_STATISTICS,
    normalise,
    resize,
)
from avseg.models.tiny import tiny_text_tower
from avseg.synthavs.captions import WORDS, category_captions
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.corpora import (
    AlternatingCorpus,
    AudioImageTextCorpus,
    AudioTextCorpus,
    ImageTextCorpus,
    TextPromptCorpus,
    load_sound_bank,
)
from avseg.synthavs.generators import GENERATORS, GeneratorVersion
from avseg.training.parts import SEGMENTER, WHOLE, Part, load_part, load_parts
from avseg.training.pretraining.imagebind_objective import ImageBindPretraining
from avseg.training.pretraining.measures import (
    ClassMeasure,
    ContrastMeasure,
    ImageBindMeasure,
    TextPromptMeasure,
)
from avseg.training.pretraining.objectives import (
    ClassPretraining,
    ContrastivePretraining,
    LocatedContrastivePretraining,
    Sam3Pretraining,
    TextPromptedPretraining,
)
from avseg.training.pretraining.options import (
    AudioImageText,
    AudioText,
    CorpusOptions,
    ImageClass,
    ImageOptions,
    ImageText,
    Sam3TextPrompt,
    TextPrompt,
)
from avseg.training.tasks.task import Task, TaskInputs

#: Seed of every evaluation corpus. Recipes seed their training corpora with small numbers, so no
#: training item is evaluated.
_EVALUATION_SEED = 990_000

#: Recordings of each category in the evaluation corpora.
_EVALUATION_RECORDINGS = 12

#: Subfolder of a text-prompted run with the EVF-SAM as a model that can be loaded.
EVF_SAM = "evf_sam"

#: Name of an evaluation corpus -> split of SynthAVS with the art styles of its images. The
#: recordings of every evaluation corpus are synthesised with parameters outside the training
#: ranges.
_EVALUATION_SPLITS = {"seen": "test_seen", "unseen": "test"}


def build_image_text(options: ImageText, inputs: TaskInputs[Av2tSamConfig]) -> Task:
    """Build the pre-training of the small CLIP.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    config = inputs.config.clip_config
    train, measured = _image_corpora(options, config.image_size)

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch = default_collate(items)
        images = normalise(batch["images"], CLIP_STATISTICS)
        return {"inputs": images, "present": batch["present"], "classes": batch["classes"]}

    model = LocatedContrastivePretraining(
        ClipImageTower(config), _text_tower(config.projection_dim), _captions()
    )
    load_parts({WHOLE: model}, inputs.parts)
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=ContrastMeasure,
    )


def build_audio_text(options: AudioText, inputs: TaskInputs[Av2tSamConfig]) -> Task:
    """Build the pre-training of the small CLAP.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    config = inputs.config.clap_config
    # Synthesised by the first run, then read from the folder beside the runs.
    train_sounds = load_sound_bank(inputs.sounds, options.recordings, "train")
    test_sounds = load_sound_bank(inputs.sounds, _EVALUATION_RECORDINGS, "test")

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch = default_collate(items)
        return {"inputs": batch["audio_values"], "present": batch["present"]}

    model = ContrastivePretraining(
        ClapAudioTower(config), _text_tower(config.projection_dim), _captions()
    )
    load_parts({WHOLE: model}, inputs.parts)
    train, measured = _corpora(
        options,
        # The sounds are unseen: their synthesis parameters are outside of the training ranges.
        lambda size, split, seed, version: AudioTextCorpus(
            size, train_sounds if split == "train" else test_sounds, seed, version
        ),
        {"unseen": "test"},
    )
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=ContrastMeasure,
    )


def build_image_class(options: ImageClass, inputs: TaskInputs[Av2tSamConfig]) -> Task:
    """Build the pre-training of the image encoder of the small SAM 2.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    config = inputs.config.sam_config
    train, measured = _image_corpora(options, config.image_size)

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate(items)
        images = normalise(batch["images"], SAM_STATISTICS)
        return {"pixel_values_sam": images, "classes": batch["classes"]}

    model = ClassPretraining(config, len(CATEGORIES))
    load_parts({WHOLE: model}, inputs.parts)
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=ClassMeasure,
    )


def build_text_prompt(options: TextPrompt, inputs: TaskInputs[Av2tSamConfig]) -> Task:
    """Build the pre-training of the small EVF-SAM.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    sam, beit3 = inputs.config.sam_config, inputs.config.beit3_config
    train, measured = _text_prompt_corpora(options, sam.image_size)

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate(items)
        images = batch.pop("images")
        # One image for two backbones, each with its own statistics and size.
        batch["pixel_values_sam"] = normalise(images, SAM_STATISTICS)
        batch["pixel_values_beit3"] = normalise(
            # As Av2tSamProcessor resizes a frame.
            resize(images, (beit3.image_size, beit3.image_size), "bicubic"),
            BEIT3_STATISTICS,
        )
        return batch

    model = TextPromptedPretraining(
        sam, beit3, len(CATEGORIES), options.learn_encoders, options.boundary_weight
    )
    # "segmenter" contains "sam" and "stem": a recipe names either the first or the other two.
    modules = {
        "segmenter": model.segmenter,
        "sam": model.segmenter.get_submodule("sam"),
        "stem": model.segmenter.beit3.vision_embed.proj,
        WHOLE: model,
    }
    load_parts(modules, inputs.parts)
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=TextPromptMeasure,
        finish=lambda run: save_evf_sam(inputs.config, weights_file(run), run / EVF_SAM),
    )


def build_sam3_text_prompt(options: Sam3TextPrompt, inputs: TaskInputs[Av2tSam3Config]) -> Task:
    """Build the pre-training of the small SAM 3.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    sam3 = inputs.config.sam3_config
    train, measured = _text_prompt_corpora(options, sam3.image_size)

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate(items)
        batch["pixel_values_sam3"] = normalise(batch.pop("images"), SAM3_STATISTICS)
        return batch

    model = Sam3Pretraining(sam3, len(CATEGORIES))
    load_parts({"segmenter": model.segmenter, WHOLE: model}, inputs.parts)
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=TextPromptMeasure,
    )


def build_audio_image_text(options: AudioImageText, inputs: TaskInputs[ImageBindConfig]) -> Task:
    """Build the pre-training of the small ImageBind.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit.
    """
    config = inputs.config
    side = config.vision.image_size
    train_sounds = load_sound_bank(inputs.sounds, options.recordings, "train")
    test_sounds = load_sound_bank(inputs.sounds, _EVALUATION_RECORDINGS, "test")

    def collate(items: list[Any]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate(items)
        batch["pixel_values"] = normalise(batch.pop("images"), CLIP_STATISTICS)
        batch["spectrograms"] = spectrograms(batch.pop("audio_values"), config.audio)
        return batch

    model = ImageBindPretraining(config, _captions())
    load_parts({"stem": model.imagebind.vision_tower.stem, WHOLE: model}, inputs.parts)
    train, measured = _corpora(
        options,
        lambda size, split, seed, version: AudioImageTextCorpus(
            size,
            _styles_of(split, version),
            side,
            train_sounds if split == "train" else test_sounds,
            seed,
            version,
        ),
    )
    return Task(
        model=model,
        train=train,
        measured=measured,
        collate=collate,
        measure=ImageBindMeasure,
    )


def save_evf_sam(config: Av2tSamConfig, weights: Path, folder: Path) -> None:
    """Save the EVF-SAM in a run of text-prompted pre-training, without the auxiliary heads.

    Args:
        config: Configuration of the run's model.
        weights: Weights of the run.
        folder: Folder for the model, its processor and the words of the captions.

    Raises:
        TrainingError: If the weights are of a model with other sizes.
    """
    # The configuration is that of an AV2T-SAM; an EVF-SAM has two of its backbones.
    evf_sam = EvfSamConfig.tiny(sam_config=config.sam_config, beit3_config=config.beit3_config)
    model = EvfSamModel(evf_sam)
    load_part(model.segmenter, Part(weights, SEGMENTER))
    with add_when_complete(folder) as partial:
        model.save_pretrained(partial)
        EvfSamProcessor.from_config(evf_sam, WordTokenizer(WORDS)).save_pretrained(partial)


class _DrawCorpus(Protocol):
    """Function that builds a corpus of a split of SynthAVS, drawn by a version of its generator."""

    def __call__(
        self, size: int, split: str, seed: int, version: GeneratorVersion, /
    ) -> Dataset[Any]:
        """Build a corpus of `size` items."""
        ...


def _corpora(
    options: CorpusOptions, draw: _DrawCorpus, splits: Mapping[str, str] = _EVALUATION_SPLITS
) -> tuple[Dataset[Any], dict[str, Dataset[Any]]]:
    """Build the training corpus, and the evaluation corpora by name.

    With several versions of the generator their items alternate in training; the names of the
    evaluation corpora then end in the version, for instance "unseen_3".
    """
    versions = options.versions
    measured = {
        name if len(versions) == 1 else f"{name}_{version}": draw(
            options.measured_size, split, _EVALUATION_SEED, version
        )
        for version in versions
        for name, split in splits.items()
    }
    train = [draw(options.size, "train", options.seed, version) for version in versions]
    return (train[0] if len(train) == 1 else AlternatingCorpus(train)), measured


def _image_corpora(
    options: ImageOptions, side: int
) -> tuple[Dataset[Any], dict[str, Dataset[Any]]]:
    """Build the training corpus, and the evaluation corpora by name, of images of one side."""
    # One corpus serves both tasks on images; `collate` selects the keys that a task needs.
    return _corpora(
        options,
        lambda size, split, seed, version: ImageTextCorpus(
            size, _styles_of(split, version), side, seed, version
        ),
    )


def _text_prompt_corpora(
    options: TextPrompt | Sam3TextPrompt, side: int
) -> tuple[Dataset[Any], dict[str, Dataset[Any]]]:
    """Build the training corpus, and the evaluation corpora by name, of images with captions."""
    return _corpora(
        options,
        lambda size, split, seed, version: TextPromptCorpus(
            size, _styles_of(split, version), side, options.prompts, seed, version
        ),
    )


def _styles_of(split: str, version: GeneratorVersion) -> tuple[str, ...]:
    """Return the art styles of a split of SynthAVS."""
    return GENERATORS[version].domains[split].styles


def _captions() -> Tensor:
    """Return the token ids of one caption for each category and one for "nothing", (C, T)."""
    return torch.from_numpy(category_captions())


def _text_tower(width: int) -> ClipTextTower:
    """Build the text tower that embeds captions in `width` dimensions."""
    return ClipTextTower(tiny_text_tower(len(WORDS), category_captions().shape[1], width))
