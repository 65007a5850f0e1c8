"""MS-CLAP 2023's audio tower (Elizalde et al. 2023, arXiv:2309.05767): audio to an embedding.

The transformer HTSAT (Chen et al. 2022, arXiv:2202.00874) is `ClapAudioModel` of `transformers`.
The log-mel front end and the projection of MS-CLAP differ from CLAP in `transformers`, so this
module implements them.

N waveforms, S samples, T spectrogram columns, M mel bands, D embedding width.
"""

from dataclasses import field

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapAudioConfig, ClapAudioModel

from avseg.backbones.config import StrictConfig
from avseg.backbones.spectrogram import decibels, mel_bank, power_spectrogram


@strict
class ClapAudioTowerConfig(StrictConfig):
    """Sizes and front end of a CLAP audio tower; the defaults are MS-CLAP 2023.

    Args:
        sample_rate: Sample rate of the audio, in Hz.
        n_fft: Length of the spectrogram's window and transform, in samples.
        hop: Distance between two columns, in samples.
        num_mel_bins: Mel bands M.
        mel_sample_rate: Sample rate for which the mel filters are computed, in Hz. The published
            model was trained with the filters for 32 kHz on audio at 44.1 kHz.
        fmin: Lower edge of the first mel band, in Hz.
        fmax: Upper edge of the last mel band, in Hz.
        spec_size: Side of the square that the spectrogram is folded to. The spectrogram is
            stretched to spec_size ** 2 / num_mel_bins columns; a longer one is an error.
        patch_size: Side and stride of a patch of that square.
        window_size: Side of the attention windows, in patches.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        embed_dim: Width of the first stage; each next stage doubles it.
        dropout: Dropout rate after attention and feed-forward.
        projection_dim: Width D of the embedding.
    """

    model_type = "avseg-clap-audio-tower"

    sample_rate: int = 44100
    n_fft: int = 1024
    hop: int = 320
    num_mel_bins: int = 64
    mel_sample_rate: int = 32000
    fmin: float = 50.0
    fmax: float = 14000.0
    spec_size: int = 256
    patch_size: int = 4
    window_size: int = 8
    depths: list[int] = field(default_factory=lambda: [2, 2, 6, 2])
    num_heads: list[int] = field(default_factory=lambda: [4, 8, 16, 32])
    embed_dim: int = 96
    dropout: float = 0.1
    projection_dim: int = 1024

    def validate_stages(self) -> None:
        """Validate the number of stages, and that the mel bands divide the square's side."""
        if len(self.depths) != len(self.num_heads):
            raise ValueError(
                f"depths and num_heads need one entry for each stage, got {self.depths} and "
                f"{self.num_heads}."
            )
        # HTSAT cuts the spectrogram into spec_size / num_mel_bins segments along the time axis and
        # stacks them along the frequency axis.
        if self.spec_size % self.num_mel_bins:
            raise ValueError(
                f"spec_size must be a multiple of num_mel_bins {self.num_mel_bins}, "
                f"got {self.spec_size}."
            )

    @property
    def hidden_size(self) -> int:
        """Width of the last stage."""
        return self.embed_dim * 2 ** (len(self.depths) - 1)

    @property
    def max_samples(self) -> int:
        """Samples of the longest audio that fits into the square."""
        # S samples give S // hop + 1 columns, because the first column is centred on sample 0. This
        # is the largest S for spec_size ** 2 / num_mel_bins columns.
        return (self.spec_size**2 // self.num_mel_bins - 1) * self.hop + self.hop - 1

    def check_window(self, window_s: float) -> None:
        """Validate the length of an audio window.

        Args:
            window_s: Length of the window, in seconds.

        Raises:
            ValueError: If it is too long.
        """
        samples = round(window_s * self.sample_rate)
        if samples > self.max_samples:
            raise ValueError(
                f"window_s of {window_s} s is {samples} samples, the audio tower takes "
                f"at most {self.max_samples}; shorten it, or raise clap_config's hop or spec_size."
            )

    def to_transformers(self) -> ClapAudioConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        return ClapAudioConfig(
            window_size=self.window_size,
            num_mel_bins=self.num_mel_bins,
            spec_size=self.spec_size,
            patch_size=self.patch_size,
            patch_stride=[self.patch_size, self.patch_size],
            hidden_size=self.hidden_size,
            depths=self.depths,
            num_attention_heads=self.num_heads,
            num_hidden_layers=len(self.depths),
            patch_embeds_hidden_size=self.embed_dim,
            hidden_dropout_prob=self.dropout,
        )


class ClapProjection(nn.Module):
    """MS-CLAP's projection: a linear layer, a residual linear layer, and a norm.

    Args:
        in_dim: Width of the encoder's output.
        out_dim: Width of the embedding.
        dropout: Dropout rate before the sum.
    """

    def __init__(self, in_dim: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_dim, out_dim, bias=False)
        self.linear2 = nn.Linear(out_dim, out_dim, bias=False)
        self.layer_norm = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Project features (N, in_dim) to embeddings (N, out_dim)."""
        # The skip connection starts after the first layer, as in the published code.
        first = self.linear1(features)
        out: Tensor = self.layer_norm(first + self.dropout(self.linear2(F.gelu(first))))
        return out


class ClapAudioTower(nn.Module):
    """Audio tower: computes an embedding of a waveform.

    Args:
        config: Sizes and front end.
    """

    # A buffer of the state dict: loading a published file loads its filters too.
    mel_bank: Tensor

    def __init__(self, config: ClapAudioTowerConfig) -> None:
        super().__init__()
        self.config = config
        bank = mel_bank(
            config.n_fft, config.num_mel_bins, config.mel_sample_rate, config.fmin, config.fmax
        )
        self.register_buffer("mel_bank", bank)
        self.htsat = ClapAudioModel(config.to_transformers())
        self.projection = ClapProjection(config.hidden_size, config.projection_dim, config.dropout)

    def log_mel(self, audio_values: Tensor) -> Tensor:
        """Compute the log-mel spectrogram.

        Args:
            audio_values: Mono audio in [-1, 1] at the configuration's sample rate, (N, S).

        Returns:
            Decibels, (N, T, M) float32.
        """
        # bfloat16 has 8 significant bits, too few for sums of powers over ten orders of magnitude.
        with torch.autocast(audio_values.device.type, enabled=False):
            power = power_spectrogram(audio_values, self.config.n_fft, self.config.hop)
            return decibels(power @ self.mel_bank)

    def forward(self, audio_values: Tensor) -> Tensor:
        """Embed audio.

        Args:
            audio_values: Mono audio in [-1, 1] at the configuration's sample rate, (N, S).

        Returns:
            Embeddings, not normalised, (N, D).

        Raises:
            ValueError: If the audio has more samples than fit into the model's square.
        """
        if audio_values.shape[-1] > self.config.max_samples:
            raise ValueError(
                f"the audio has {audio_values.shape[-1]} samples, the model takes at most "
                f"{self.config.max_samples}; cut it, or raise hop or spec_size."
            )
        # HTSAT expects a channel axis, (N, 1, T, M); `ClapAudioModel` stretches and folds the
        # spectrogram to the square.
        features = self.htsat(input_features=self.log_mel(audio_values).unsqueeze(1)).pooler_output
        embeddings: Tensor = self.projection(features)
        return embeddings
