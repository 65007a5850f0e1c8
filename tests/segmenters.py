"""Segmenters with small random weights, and videos for them."""

from pathlib import Path

import numpy as np
import torch

from avseg.models.auralsam2 import AuralSam2Processor
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.models.cascade import CascadeModel, CascadeProcessor
from avseg.models.evf_sam import EvfSamModel, EvfSamProcessor
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tpavi import TpaviConfig, TpaviModel
from tests.media.videos import Picture, Track, level, write
from tests.models.auralsam2_factories import AURALSAM2, build_text, text_processor
from tests.models.auralsam2_factories import build as build_auralsam2
from tests.models.factories import CASCADE, CLAP_WORDS, CONFIG, EVF_CONFIG, WORDS, randomise
from tests.models.tavis_factories import PROCESSOR
from tests.models.tavis_factories import build as build_tavis


def save_random_model(folder: Path) -> Path:
    """Save an AV2T-SAM with random weights, whose masks cover part of the frame."""
    torch.manual_seed(0)
    model = Av2tSamModel(CONFIG)
    randomise(model)
    model.save_pretrained(folder)
    Av2tSamProcessor.from_config(CONFIG).save_pretrained(folder)
    return folder


def save_random_text_model(folder: Path) -> Path:
    """Save an EVF-SAM with random weights, which knows the words dog, cat and bus."""
    torch.manual_seed(0)
    model = EvfSamModel(EVF_CONFIG)
    randomise(model)
    model.save_pretrained(folder)
    EvfSamProcessor.from_config(EVF_CONFIG, WORDS).save_pretrained(folder)
    return folder


def save_random_baseline(folder: Path, config: SamaConfig | TpaviConfig) -> Path:
    """Save a SAMA or a TPAVI with random weights."""
    torch.manual_seed(0)
    model = SamaModel(config) if isinstance(config, SamaConfig) else TpaviModel(config)
    randomise(model)
    model.save_pretrained(folder)
    FrameAudioProcessor.from_config(config).save_pretrained(folder)
    return folder


def save_random_cascade(folder: Path) -> Path:
    """Save a cascade with random weights, which predicts at most two of dog, cat and bus."""
    torch.manual_seed(0)
    model = CascadeModel(CASCADE)
    randomise(model)
    model.save_pretrained(folder)
    processor = CascadeProcessor.from_config(CASCADE, CLAP_WORDS, WORDS)
    processor.with_vocabulary(["dog", "cat", "bus"]).save_pretrained(folder)
    return folder


def save_random_tavis(folder: Path) -> Path:
    """Save a TAViS with random weights, the names dog, cat and bus, and a memory bank."""
    build_tavis(seed=4).save_pretrained(folder)  # with this seed it predicts more than background
    PROCESSOR.save_pretrained(folder)
    return folder


def save_random_auralsam2(folder: Path) -> Path:
    """Save an AuralSAM2 with random weights, windows of three frames, and a memory bank."""
    build_auralsam2().save_pretrained(folder)
    AuralSam2Processor.from_config(AURALSAM2).save_pretrained(folder)
    return folder


def save_random_auralsam2_text(folder: Path) -> Path:
    """Save an AuralSAM2 for texts with random weights and the words left, dog, cat, guitar."""
    build_text().save_pretrained(folder)
    text_processor().save_pretrained(folder)
    return folder


def tone(seconds: float, sample_rate: int = 16000) -> Track:
    """A tone of 440 Hz."""
    times_s = np.arange(round(seconds * sample_rate)) / sample_rate
    samples = 0.3 * np.sin(2 * np.pi * 440 * times_s)
    return Track(samples.astype(np.float32)[None], sample_rate)


def silence(seconds: float) -> Track:
    """An audio track of digital silence."""
    return Track(level(0.0, seconds))


def make_video(path: Path, *tracks: Track, seconds: float = 2.0, fps: int = 10) -> Path:
    """Write a video of noise, 48 x 64, with the given audio tracks."""
    step_ms = 1000 // fps
    times_ms = tuple(range(0, round(1000 * seconds), step_ms))
    return write(path, [Picture(times_ms=times_ms, noise=True)], tracks)
