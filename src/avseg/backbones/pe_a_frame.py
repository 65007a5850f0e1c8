"""PE-A-Frame as a sound namer: a probability for each name every 40 ms.

The network is `PeAudioFrameLevelModel` of `transformers` (Perception Encoder Audiovisual, Meta,
2025). This module splits its forward pass in two, so that names are embedded once for a video.

N audio windows, S samples, F frames of 40 ms, C names, L tokens of a name, D embedding width.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from torch import Tensor
from transformers import PeAudioConfig, PeAudioFrameLevelModel

from avseg.backbones.config import StrictConfig
from avseg.backbones.sound_namer import SoundNamer


@strict
class PeAFrameConfig(StrictConfig):
    """Sizes of PE-A-Frame; the defaults are those of `transformers`.

    Args:
        pe_audio_config: Audio and text encoders, a `PeAudioConfig`.
        sample_rate: Sample rate of the audio, in Hz. The published feature extractor has 48 kHz;
            the configuration of the network does not contain it.
        max_text_tokens: Maximum length of a name, in tokens.
    """

    model_type = "avseg-pe-a-frame"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"pe_audio_config": PeAudioConfig}

    pe_audio_config: Any = None  # a configuration, or its options in a dictionary
    sample_rate: int = 48000
    max_text_tokens: int = 77

    @property
    def hop(self) -> int:
        """Distance between two scores, in samples."""
        hop: int = self.pe_audio_config.audio_config.dac_config.hop_length
        return hop

    def check_window(self, window_s: float) -> None:
        """Validate the length of an audio window.

        Args:
            window_s: Length of the window, in seconds.

        Raises:
            ValueError: If it is not a multiple of the distance between two scores.
        """
        # Another length would be padded with reflected audio, for which there would be scores too.
        samples = round(window_s * self.sample_rate)
        if samples < self.hop or samples % self.hop:
            raise ValueError(
                f"window_s of {window_s} s is {samples} samples, the sound namer takes multiples "
                f"of {self.hop} ({self.hop / self.sample_rate:.3g} s)."
            )


class PeAFrameNamer(SoundNamer):
    """Computes the probability that a name is audible, for each 40 ms of a window.

    Args:
        config: Sizes of the network.
    """

    text_inputs = ("sound_ids", "sound_mask")

    def __init__(self, config: PeAFrameConfig) -> None:
        super().__init__()
        self.pe_audio = PeAudioFrameLevelModel(config.pe_audio_config)

    def embed_names(self, texts: Mapping[str, Tensor]) -> Tensor:
        """Embed names.

        Args:
            texts: `sound_ids` (C, L) int64, and `sound_mask` (C, L), False for padding.

        Returns:
            Embeddings, (C, D) float32.
        """
        # The forward pass of the network takes audio too. Its own method for texts alone asks the
        # text encoder for no hidden states, and then reads them.
        outputs = self.pe_audio.text_model(
            input_ids=texts["sound_ids"],
            attention_mask=texts["sound_mask"],
            output_hidden_states=True,
        )
        names: Tensor = self.pe_audio.text_audio_head(outputs.hidden_states[-1][:, 0])
        return names.float()

    def score_names(self, audio: Mapping[str, Tensor], names: Tensor) -> Tensor:
        """Compute the probability of each name in each frame of 40 ms.

        Args:
            audio: `audio_values`, the waveforms of the windows, (N, S), S a multiple of the hop.
            names: Embeddings from `embed_names`, (C, D).

        Returns:
            Probabilities, (N, F, C) float32.
        """
        frames = self.pe_audio.get_audio_embeds(audio["audio_values"].unsqueeze(1)).float()
        logits = frames @ names.T
        scale, bias = self.pe_audio.text_audio_logit_scale, self.pe_audio.text_audio_logit_bias
        return (logits * scale + bias).sigmoid()
