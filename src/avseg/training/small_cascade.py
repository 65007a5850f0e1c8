"""Assembly of a small cascade model from the runs that trained its parts."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.tokenizing import WordTokenizer
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.synthavs.captions import WORDS
from avseg.synthavs.categories import CATEGORIES
from avseg.training.parts import SEGMENTER, TOWER, Part, find_weights, load_part


def save_cascade(
    clap: str, evf_sam: str, runs: Path, folder: Path, config: CascadeConfig | None = None
) -> None:
    """Assemble a cascade model for SynthAVS from trained parts, and save it.

    Args:
        clap: Run of the task audio-text; its text tower is used too.
        evf_sam: Run of the task text-prompt.
        runs: Folder of the runs.
        folder: Folder in which model and processor are saved.
        config: Configuration of the model; None for that of the small model.

    Raises:
        TrainingError: If a run is missing, or its weights do not fit.
    """
    config = config or CascadeConfig.tiny()
    model = CascadeModel(config)
    clap_weights = find_weights(clap, runs)
    namer: Any = model.namer
    load_part(namer.clap, Part(clap_weights, TOWER))
    # The text tower was trained together with the audio tower, so one file has both.
    load_part(namer.clap_text, Part(clap_weights, "text_tower."))
    load_part(model.segmenter, Part(find_weights(evf_sam, runs), SEGMENTER))
    with torch.no_grad():  # the scale of the cosines was trained with the two CLAP towers
        namer.log_scale.copy_(load_file(clap_weights)["log_scale"])
    model.save_pretrained(folder)
    processor = CascadeProcessor.from_config(
        config, ClapTokenizer.from_words(WORDS[:-1]), WordTokenizer(WORDS)
    )
    processor.with_vocabulary(CATEGORIES).save_pretrained(folder)
