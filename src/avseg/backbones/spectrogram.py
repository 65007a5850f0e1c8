"""Log-mel spectrograms in torch; each model's constants come from its configuration.

N waveforms, S samples, F = n_fft / 2 + 1 frequencies, M mel bands, T = S / hop + 1 columns.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

#: Smallest power before the logarithm: -100 dB.
_POWER_FLOOR = 1e-10

#: Kaldi's constants: window and hop in seconds, lowest frequency in Hz, pre-emphasis coefficient,
#: and smallest power before the logarithm.
_KALDI_WINDOW_S, _KALDI_HOP_S = 0.025, 0.010
_KALDI_FMIN = 20.0
_KALDI_PREEMPHASIS = 0.97
_KALDI_FLOOR = torch.finfo(torch.float32).eps


def power_spectrogram(waveforms: Tensor, n_fft: int, hop: int) -> Tensor:
    """Compute a power spectrogram with columns centred on multiples of `hop`.

    Args:
        waveforms: Mono audio in [-1, 1], (N, S) with S > n_fft / 2.
        n_fft: Length of the periodic Hann window and of the transform, in samples.
        hop: Distance between two columns, in samples.

    Returns:
        Power, (N, T, F).
    """
    # center=True reflects n_fft / 2 samples at both ends: the first column is centred on sample 0.
    window = torch.hann_window(n_fft, device=waveforms.device)
    spectrum = torch.stft(
        waveforms.float(), n_fft, hop, window=window, center=True, return_complex=True
    )
    return spectrum.abs().square().transpose(1, 2)


def mel_bank(n_fft: int, num_mel_bins: int, sample_rate: int, fmin: float, fmax: float) -> Tensor:
    """Build Slaney's triangular filters, normalised by their width.

    Args:
        n_fft: Length of the transform, in samples.
        num_mel_bins: Number of mel bands M.
        sample_rate: Sample rate, in Hz.
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
    """Convert power to decibels, at least -100."""
    return 10 * power.clamp(min=_POWER_FLOOR).log10()


def kaldi_fbank(waveforms: Tensor, sample_rate: int, num_mel_bins: int) -> Tensor:
    """Compute Kaldi's log-mel filter banks: 25 ms Hann windows, 10 ms apart, no padding.

    The mean of each window is subtracted, and the window is pre-emphasised before it is weighted.

    Args:
        waveforms: Mono audio, (N, S).
        sample_rate: Sample rate, in Hz.
        num_mel_bins: Number of mel bands M, from 20 Hz to half the sample rate.

    Returns:
        Natural logarithm of the power, (N, T, M).

    Raises:
        ValueError: If the audio is shorter than a window.
    """
    length, hop = round(_KALDI_WINDOW_S * sample_rate), round(_KALDI_HOP_S * sample_rate)
    if waveforms.shape[-1] < length:
        raise ValueError(
            f"the audio has {waveforms.shape[-1]} samples, a window has {length}; give "
            "longer audio."
        )
    # Kaldi pads each window with zeros to the next power of two; `rfft` does so below.
    n_fft = 2 ** math.ceil(math.log2(length))
    frames = waveforms.unfold(-1, length, hop)  # (N, T, length)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    # Pre-emphasis needs the sample before each sample. For the first sample of a window Kaldi uses
    # that sample itself. Kaldi's Hann window is symmetric, not periodic.
    before = F.pad(frames, (1, 0), mode="replicate")[..., :-1]
    window = torch.hann_window(length, False, dtype=frames.dtype, device=frames.device)
    emphasised = (frames - _KALDI_PREEMPHASIS * before) * window
    power = torch.fft.rfft(emphasised, n_fft).abs().square()
    bank = _kaldi_mel_bank(n_fft, num_mel_bins, sample_rate).to(power)
    return (power @ bank).clamp(min=_KALDI_FLOOR).log()


def _kaldi_mel_bank(n_fft: int, num_mel_bins: int, sample_rate: int) -> Tensor:
    """Build triangular filters whose sides are linear in mel, (F, M) float32.

    The sides of Slaney's filters are linear in Hz instead. As in Kaldi, the highest frequency has
    the weight 0 in every band.
    """
    # The mel scale of Kaldi and HTK: 1127 ln(1 + f / 700).
    low, high = (1127 * math.log(1 + edge / 700) for edge in (_KALDI_FMIN, sample_rate / 2))
    edges = low + torch.arange(num_mel_bins + 2) * ((high - low) / (num_mel_bins + 1))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    mel = 1127 * (1 + torch.arange(n_fft // 2)[:, None] * (sample_rate / n_fft) / 700).log()
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    # The smaller of the two lines is the triangle; it is negative outside of the band. The added
    # row is the highest frequency.
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 0, 0, 1))
