"""Log-mel spectrograms in torch, with each model's constants given by its configuration.

N sounds, S samples, F = n_fft / 2 + 1 frequencies, M mel bands, T = S / hop + 1 columns.
"""

import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

#: Power below this counts as silence: -100 dB.
_POWER_FLOOR = 1e-10


def power_spectrogram(waveforms: Tensor, n_fft: int, hop: int) -> Tensor:
    """Compute power over frequency and time, columns centred on multiples of `hop`.

    Args:
        waveforms: Mono sound in [-1, 1], (N, S) with S > n_fft / 2.
        n_fft: Length of the periodic Hann window and of the transform, in samples.
        hop: Distance of two columns, in samples.

    Returns:
        Power, (N, T, F).
    """
    window = torch.hann_window(n_fft, device=waveforms.device)
    spectrum = torch.stft(
        waveforms.float(), n_fft, hop, window=window, center=True, return_complex=True
    )
    return spectrum.abs().square().transpose(1, 2)


def mel_bank(n_fft: int, num_mel_bins: int, sample_rate: int, fmin: float, fmax: float) -> Tensor:
    """Build Slaney's triangular filters, normalised by their width.

    Args:
        n_fft: Length of the transform, in samples.
        num_mel_bins: Bands.
        sample_rate: In Hz.
        fmin: Lower edge of the first band, in Hz.
        fmax: Upper edge of the last band, in Hz.

    Returns:
        Weight of each frequency in each band, (F, M) float32.
    """
    bank = mel_filter_bank(
        n_fft // 2 + 1, num_mel_bins, fmin, fmax, sample_rate, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(bank).float()


def decibels(power: Tensor) -> Tensor:
    """Turn power into decibels, at least -100."""
    return 10 * power.clamp(min=_POWER_FLOOR).log10()
