"""CLAP as a sound namer: cosines of audio windows and names (arXiv:2309.05767).

N audio windows, C names, L tokens of a name, D width of an embedding.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.clap import ClapAudioTower, ClapAudioTowerConfig
from avseg.backbones.clap_text import ClapTextTower, ClapTextTowerConfig
from avseg.backbones.clip import ClipTextTower, ClipTextTowerConfig
from avseg.backbones.config import StrictConfig, config_of
from avseg.backbones.sound_namer import SoundNamer


@strict
class ClapNamerConfig(StrictConfig):
    """Sizes of the two towers; the defaults are MS-CLAP 2023.

    Args:
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        text_config: Text tower, a `ClapTextTowerConfig` or a `ClipTextTowerConfig`. In a
            dictionary, `model_type` selects the class; the default is MS-CLAP's.
    """

    model_type = "avseg-clap-namer"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "clap_config": ClapAudioTowerConfig,
        "text_config": ClapTextTowerConfig,
    }

    clap_config: Any = None  # a configuration, or its options in a dictionary
    text_config: Any = None

    # The text tower may be of two classes, between which `transformers` cannot choose.
    def __post_init__(self, **kwargs: Any) -> None:
        self.text_config = config_of(
            self.text_config, (ClapTextTowerConfig, ClipTextTowerConfig), "a text tower"
        )
        super().__post_init__(**kwargs)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        rate: int = self.clap_config.sample_rate
        return rate

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text, in tokens."""
        text = self.text_config
        limit = text.max_tokens if isinstance(text, ClapTextTowerConfig) else text.max_positions
        return int(limit)

    def check_window(self, window_s: float) -> None:
        """Validate the length of an audio window.

        Args:
            window_s: Length of the window, in seconds.

        Raises:
            ValueError: If it is too long for the audio tower.
        """
        self.clap_config.check_window(window_s)


class ClapNamer(SoundNamer):
    """Compares the embedding of a window with those of the names; the scores are cosines.

    The model has one score for each window, so F is 1.

    Args:
        config: Sizes of the towers.

    Attributes:
        log_scale: Logarithm of CLAP's logit scale.
    """

    text_inputs = ("sound_ids",)

    def __init__(self, config: ClapNamerConfig) -> None:
        super().__init__()
        self.clap = ClapAudioTower(config.clap_config)
        text = config.text_config
        # MS-CLAP has GPT-2 as its text tower; the small CLAP has a tower with CLIP's architecture.
        is_gpt2 = isinstance(text, ClapTextTowerConfig)
        self.clap_text = ClapTextTower(text) if is_gpt2 else ClipTextTower(text)
        # The initial temperature of CLIP and CLAP, 0.07; loading replaces it by the trained value.
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def embed_names(self, texts: Mapping[str, Tensor]) -> Tensor:
        """Embed names as unit vectors.

        Args:
            texts: `sound_ids`, the token ids of the names, (C, L) int64.

        Returns:
            Unit vectors, (C, D) float32.
        """
        return F.normalize(self.clap_text(texts["sound_ids"]).float(), dim=-1)

    def score_names(self, audio: Mapping[str, Tensor], names: Tensor) -> Tensor:
        """Compute the cosine of each window and each name.

        Args:
            audio: `audio_values`, the waveforms of the windows, (N, samples).
            names: Embeddings from `embed_names`, (C, D).

        Returns:
            Cosines, (N, 1, C) float32.
        """
        # Float32, because half precision is too inexact for thresholds on cosines.
        windows = F.normalize(self.clap(audio["audio_values"]).float(), dim=-1)
        return (windows @ names.T).unsqueeze(1)

    def shares(self, scores: Tensor) -> Tensor:
        """Compute the softmax over the names with CLAP's trained scale.

        Args:
            scores: Cosines, (N, C).

        Returns:
            Shares, (N, C); the sum over the names is 1.
        """
        return (self.log_scale.exp() * scores).softmax(dim=-1)
