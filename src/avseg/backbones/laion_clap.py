"""LAION's CLAP as a sound namer: cosines of audio windows and names (arXiv:2211.06687).

The network is `ClapModel` of `transformers`. MS-CLAP, in `clap_namer.py`, has another text tower,
projection and spectrogram.

N audio windows, T spectrogram columns, M mel bands, C names, L tokens of a name, D embedding width.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from torch import Tensor
from transformers import ClapConfig, ClapModel

from avseg.backbones.config import StrictConfig
from avseg.backbones.sound_namer import SoundNamer


@strict
class LaionClapConfig(StrictConfig):
    """Sizes of CLAP and of its spectrogram; the defaults are `laion/clap-htsat-unfused`.

    Args:
        clap_config: Audio and text towers, a `ClapConfig` of `transformers`.
        sample_rate: Sample rate of the audio, in Hz.
        n_fft: Length of the spectrogram's window and transform, in samples.
        hop: Distance between two columns, in samples.
        fmin: Lower edge of the first mel band, in Hz.
        fmax: Upper edge of the last mel band, in Hz.
        max_s: Length of the audio that the network takes, in seconds. A shorter window is repeated,
            as in the training.
        max_text_tokens: Maximum length of a name, in tokens.
    """

    model_type = "avseg-laion-clap"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"clap_config": ClapConfig}

    clap_config: Any = None  # a configuration, or its options in a dictionary
    sample_rate: int = 48000
    n_fft: int = 1024
    hop: int = 480
    fmin: float = 50.0
    fmax: float = 14000.0
    max_s: int = 10
    max_text_tokens: int = 77

    @property
    def num_mel_bins(self) -> int:
        """Number of mel bands."""
        bands: int = self.clap_config.audio_config.num_mel_bins
        return bands

    def check_window(self, window_s: float) -> None:
        """Validate the length of an audio window.

        Args:
            window_s: Length of the window, in seconds.

        Raises:
            ValueError: If it is longer than the audio that the network takes.
        """
        # The feature extractor would cut a random part out of a longer window.
        if window_s > self.max_s:
            raise ValueError(
                f"window_s is {window_s} s, the sound namer takes at most {self.max_s} s."
            )

    def validate_fusion(self) -> None:
        """Raise an error for a fused CLAP, whose spectrograms have four channels."""
        if self.clap_config.audio_config.enable_fusion:
            raise ValueError(
                "enable_fusion is True; give a CLAP without fusion, such as "
                "laion/clap-htsat-unfused."
            )


class LaionClapNamer(SoundNamer):
    """Compares the embedding of a window with those of the names; the scores are cosines.

    The model has one score for each window, so F is 1.

    Args:
        config: Sizes of the network.
    """

    audio_inputs = ("audio_features",)
    text_inputs = ("sound_ids", "sound_mask")

    def __init__(self, config: LaionClapConfig) -> None:
        super().__init__()
        self.clap = ClapModel(config.clap_config)

    def embed_names(self, texts: Mapping[str, Tensor]) -> Tensor:
        """Embed names as unit vectors.

        Args:
            texts: `sound_ids` (C, L) int64, and `sound_mask` (C, L), False for padding.

        Returns:
            Unit vectors, (C, D) float32.
        """
        outputs = self.clap.get_text_features(
            input_ids=texts["sound_ids"], attention_mask=texts["sound_mask"].long()
        )
        names: Tensor = outputs.pooler_output
        return names.float()

    def score_names(self, audio: Mapping[str, Tensor], names: Tensor) -> Tensor:
        """Compute the cosine of each window and each name.

        Args:
            audio: `audio_features`, the log-mel spectrograms of the windows, (N, 1, T, M).
            names: Embeddings from `embed_names`, (C, D).

        Returns:
            Cosines, (N, 1, C) float32.
        """
        outputs = self.clap.get_audio_features(input_features=audio["audio_features"])
        windows: Tensor = outputs.pooler_output
        # Float32, because half precision is too inexact for thresholds on cosines.
        return (windows.float() @ names.T).unsqueeze(1)

    def shares(self, scores: Tensor) -> Tensor:
        """Compute the softmax over the names with CLAP's trained scale.

        Args:
            scores: Cosines, (N, C).

        Returns:
            Shares, (N, C); the sum over the names is 1.
        """
        return (self.clap.logit_scale_a.exp() * scores).softmax(dim=-1)
