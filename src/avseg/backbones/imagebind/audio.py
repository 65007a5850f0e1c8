"""Audio front end of ImageBind: cutting of audio clips, and log-mel spectrograms.

S samples, N clips, M mel bands, T columns.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.imagebind.configuration import ImageBindAudioConfig
from avseg.backbones.spectrogram import kaldi_fbank

#: Mean and standard deviation of log-mel values, those of the published model.
_MEAN, _STD = -4.268, 9.138


def clip_starts(samples: int, count: int, config: ImageBindAudioConfig) -> list[int]:
    """Compute the start of each audio clip by the rule of the published code.

    The starts are evenly spaced, but the last clip ends before the audio does. In 5 s, five clips
    of 2 s begin at 0, 0.6, 1.2, 1.8 and 2.4 s.

    Args:
        samples: Length of the audio, in samples.
        count: Number of clips.
        config: Configuration with the length of a clip.

    Returns:
        Index of the first sample of each clip; 0 for all clips if the audio is not longer than a
        clip.
    """
    free = max(samples - config.clip_samples, 0)
    return [number * free // count for number in range(count)]


def cut_clips(audio: Tensor, count: int, config: ImageBindAudioConfig) -> Tensor:
    """Cut evenly spaced clips out of the audio.

    Args:
        audio: Mono audio in [-1, 1] at the configuration's sample rate, (S,).
        count: Number of clips.
        config: Configuration with the length of a clip.

    Returns:
        The clips, (count, samples of a clip). If the audio is shorter than a clip, each clip is the
        whole audio.
    """
    starts = clip_starts(len(audio), count, config)
    return torch.stack([audio[start : start + config.clip_samples] for start in starts])


def spectrograms(clips: Tensor, config: ImageBindAudioConfig) -> Tensor:
    """Compute normalised log-mel spectrograms.

    A short clip is padded with columns of 0 before the normalisation, as in the published code.

    Args:
        clips: Mono audio in [-1, 1] at the configuration's sample rate, (N, S).
        config: Configuration with the sample rate and the size of the spectrogram.

    Returns:
        Spectrograms, lowest frequencies first, (N, 1, M, T).

    Raises:
        ValueError: If the clips are longer than a clip of the configuration, or shorter than 25 ms.
    """
    samples, longest = clips.shape[-1], config.clip_samples
    if samples > longest:
        raise ValueError(
            f"clips have {samples} samples, a clip of the model has {longest}; cut them."
        )
    # The published code subtracts the mean of the clip; Kaldi then subtracts that of each window.
    clips = clips - clips.mean(dim=-1, keepdim=True)
    # 2 s give 198 columns, and the published spectrogram has 204: the last six are always padding.
    columns = kaldi_fbank(clips, config.sample_rate, config.mel_bins)[:, : config.target_length]
    padded = F.pad(columns, (0, 0, 0, config.target_length - columns.shape[1]))
    return ((padded - _MEAN) / _STD).transpose(1, 2).unsqueeze(1)
