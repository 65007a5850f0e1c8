"""Segmenters with small random weights, and videos for them."""

from pathlib import Path

import numpy as np
import torch

from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.models.cascade import CascadeModel, CascadeProcessor
from avseg.models.evf_sam import EvfSamModel, EvfSamProcessor
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tpavi import TpaviConfig, TpaviModel
from tests.media.videos import Picture, Track, level, write
from tests.models.factories import CASCADE, CLAP_WORDS, CONFIG, EVF_CONFIG, WORDS, randomise
from tests.models.tavis_factories import PROCESSOR
from tests.models.tavis_factories import build as build_tavis


def save_random_model(folder: Path) -> Path:
    """Save a model whose masks cover part of the picture, as far as noise allows."""
    torch.manual_seed(0)
    model = Av2tSamModel(CONFIG)
    randomise(model)
    model.save_pretrained(folder)
    Av2tSamProcessor.from_config(CONFIG).save_pretrained(folder)
    return folder


def save_random_text_model(folder: Path) -> Path:
    """Save a model that is prompted by the words dog, cat and bus."""
    torch.manual_seed(0)
    model = EvfSamModel(EVF_CONFIG)
    randomise(model)
    model.save_pretrained(folder)
    EvfSamProcessor.from_config(EVF_CONFIG, WORDS).save_pretrained(folder)
    return folder


def save_random_baseline(folder: Path, config: SamaConfig | TpaviConfig) -> Path:
    """Save a model that the bridge is compared with."""
    torch.manual_seed(0)
    model = SamaModel(config) if isinstance(config, SamaConfig) else TpaviModel(config)
    randomise(model)
    model.save_pretrained(folder)
    FrameAudioProcessor.from_config(config).save_pretrained(folder)
    return folder


def save_random_cascade(folder: Path) -> Path:
    """Save a model that names at most two of dog, cat and bus in whatever it hears."""
    torch.manual_seed(0)
    model = CascadeModel(CASCADE)
    randomise(model)
    model.save_pretrained(folder)
    processor = CascadeProcessor.from_config(CASCADE, CLAP_WORDS, WORDS)
    processor.with_vocabulary(["dog", "cat", "bus"]).save_pretrained(folder)
    return folder


def save_random_tavis(folder: Path) -> Path:
    """Save a model that names dog, cat and bus by query, and remembers frames."""
    build_tavis(seed=4).save_pretrained(folder)  # finds more than background in noise
    PROCESSOR.save_pretrained(folder)
    return folder


def tone(seconds: float, sample_rate: int = 16000) -> Track:
    """A tone of 440 Hz."""
    times_s = np.arange(round(seconds * sample_rate)) / sample_rate
    samples = 0.3 * np.sin(2 * np.pi * 440 * times_s)
    return Track(samples.astype(np.float32)[None], sample_rate)


def silence(seconds: float) -> Track:
    """A sound track in which nothing sounds."""
    return Track(level(0.0, seconds))


def make_video(path: Path, *tracks: Track, seconds: float = 2.0, fps: int = 10) -> Path:
    """Make a video of noise, 48 x 64, with some sound tracks."""
    step_ms = 1000 // fps
    times_ms = tuple(range(0, round(1000 * seconds), step_ms))
    return write(path, [Picture(times_ms=times_ms, noise=True)], tracks)
