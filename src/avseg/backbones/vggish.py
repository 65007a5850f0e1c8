"""VGGish (Hershey et al. 2017, arXiv:1609.09430): embeds log-mel spectrograms of audio.

N windows, S samples, T spectrogram columns, M mel bands, D embedding width.
"""

from dataclasses import field

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from avseg.backbones.config import StrictConfig

#: Length and distance of the spectrogram's windows, in seconds.
_WINDOW_S, _HOP_S = 0.025, 0.010

#: Lower edge of the first mel band and upper edge of the last, in Hz.
_FMIN, _FMAX = 125.0, 7500.0

#: Number added to each mel value before the logarithm.
_LOG_OFFSET = 0.01


@strict
class VggishConfig(StrictConfig):
    """Sizes and front end of VGGish; the defaults are the published ones.

    Args:
        sample_rate: Sample rate of the audio, in Hz.
        columns: Columns T of a spectrogram, 10 ms each; a multiple of 16.
        mel_bins: Mel bands M; a multiple of 16.
        channels: Channels of the four stages of convolutions.
        hidden_dim: Width of the two hidden layers after the convolutions.
        dim: Width D of the embedding.
    """

    model_type = "avseg-vggish"

    sample_rate: int = 16000
    columns: int = 96
    mel_bins: int = 64
    channels: list[int] = field(default_factory=lambda: [64, 128, 256, 512])
    hidden_dim: int = 4096
    dim: int = 128

    def validate_sample_rate(self) -> None:
        """Validate that the audio contains the frequencies of all mel bands."""
        if self.sample_rate < 2 * _FMAX:
            raise ValueError(
                f"sample_rate must be at least {2 * _FMAX:.0f} Hz, twice the highest frequency of "
                f"the mel bands, got {self.sample_rate}."
            )

    def validate_spectrogram(self) -> None:
        """Validate that four poolings by 2 divide the spectrogram."""
        for option in ("columns", "mel_bins"):
            value = getattr(self, option)
            if value < 16 or value % 16:
                raise ValueError(f"{option} must be a multiple of 16, got {value}.")

    def validate_channels(self) -> None:
        """Validate that there are four stages."""
        if len(self.channels) != 4:
            raise ValueError(f"channels needs 4 entries, one for each stage, got {self.channels}.")

    @property
    def window_samples(self) -> int:
        """Samples of the audio of one spectrogram."""
        length, hop = round(_WINDOW_S * self.sample_rate), round(_HOP_S * self.sample_rate)
        return (self.columns - 1) * hop + length

    @property
    def window_s(self) -> float:
        """Length of the audio of one spectrogram, in seconds; 0.975 with the published sizes."""
        return self.window_samples / self.sample_rate


def log_mel(windows: Tensor, config: VggishConfig) -> Tensor:
    """Compute log-mel spectrograms: magnitudes of 25 ms Hann windows, 10 ms apart, no padding.

    Args:
        windows: Audio in [-1, 1] at the configuration's sample rate, (N, S), with the number of
            samples of `VggishConfig.window_samples`.
        config: Sizes.

    Returns:
        Natural logarithm of the mel magnitudes plus 0.01, (N, T, M) float32.

    Raises:
        ValueError: If the audio has another number of samples.
    """
    if windows.shape[-1] != config.window_samples:
        raise ValueError(
            f"the audio has {windows.shape[-1]} samples, a spectrogram of {config.columns} columns "
            f"needs {config.window_samples}; cut or pad it."
        )
    length, hop = round(_WINDOW_S * config.sample_rate), round(_HOP_S * config.sample_rate)
    n_fft = 2 ** (length - 1).bit_length()
    window = torch.hann_window(length, device=windows.device)  # periodic, as in the published code
    columns = windows.float().unfold(-1, length, hop) * window  # (N, T, length)
    # VGGish sums magnitudes in each band; most other front ends sum powers.
    magnitudes = torch.fft.rfft(columns, n_fft).abs()
    bank = mel_filter_bank(
        *(n_fft // 2 + 1, config.mel_bins, _FMIN, _FMAX, config.sample_rate),
        # The mel scale 1127 ln(1 + f / 700), with triangles whose sides are linear in mel.
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    mel = magnitudes @ torch.from_numpy(bank).to(magnitudes)
    return (mel + _LOG_OFFSET).log()


class Vggish(nn.Module):
    """VGGish without the published post-processing (whitening and 8-bit rounding).

    Args:
        config: Sizes.
    """

    def __init__(self, config: VggishConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        in_channels = 1
        # One convolution in each of the two first stages, two in each of the two last.
        for channels, count in zip(config.channels, (1, 1, 2, 2), strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU()]
                in_channels = channels
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        flat = config.channels[-1] * (config.columns // 16) * (config.mel_bins // 16)
        self.embeddings = nn.Sequential(
            *(nn.Linear(flat, config.hidden_dim), nn.ReLU()),
            *(nn.Linear(config.hidden_dim, config.hidden_dim), nn.ReLU()),
            *(nn.Linear(config.hidden_dim, config.dim), nn.ReLU()),
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Embed spectrograms.

        Args:
            spectrograms: From `log_mel`, (N, T, M).

        Returns:
            Embeddings, never negative, (N, D).
        """
        maps = self.features(spectrograms.unsqueeze(1))  # (N, C, T / 16, M / 16)
        # The published weights were trained in TensorFlow, where the channels are the last axis.
        embeddings: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return embeddings
