"""Inputs of the sound namers: the tensors of audio windows and of names.

T audio windows, C names, L tokens of the longest name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor
from transformers import ClapFeatureExtractor

from avseg.backbones.clap_namer import ClapNamerConfig
from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.backbones.laion_clap import LaionClapConfig
from avseg.backbones.pe_a_frame import PeAFrameConfig
from avseg.backbones.tokenizing import text_too_long
from avseg.models.processor import SavedTokenizer

#: Folder in a model's folder for the files of the namer's tokenizer.
SOUND_TOKENIZER = "sound_tokenizer"


class SoundInputs(Protocol):
    """Interface of the inputs of a sound namer; its dataclass fields are saved as JSON."""

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        ...

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Build the inputs that fit the configuration of a sound namer."""
        ...

    def load_tokenizer(self, folder: Path) -> SavedTokenizer:
        """Load the tokenizer from the folder of a model."""
        ...

    def prepare_windows(self, windows: Tensor) -> dict[str, Tensor]:
        """Convert audio windows (T, samples) to the tensors of the namer, each with T rows."""
        ...

    def encode_names(self, texts: Sequence[str], tokenizer: Any) -> dict[str, Tensor]:
        """Encode the texts of C names as the tensors of the namer, each with C rows."""
        ...


@dataclass(frozen=True)
class _WaveformInputs:
    """Base of the inputs of namers that compute their own spectrogram from the waveform.

    Args:
        sample_rate: Sample rate of the audio, in Hz.
        max_tokens: Maximum length of a text, in tokens.
    """

    sample_rate: int
    max_tokens: int

    @classmethod
    def from_config(cls, config: ClapNamerConfig | PeAFrameConfig) -> Self:
        """Build the inputs that fit a configuration.

        Args:
            config: Configuration of the namer.

        Returns:
            The inputs.
        """
        return cls(config.sample_rate, config.max_text_tokens)

    def prepare_windows(self, windows: Tensor) -> dict[str, Tensor]:
        """Return the waveforms unchanged.

        Args:
            windows: Audio windows, (T, samples).

        Returns:
            `audio_values`, (T, samples).
        """
        return {"audio_values": windows}


@dataclass(frozen=True)
class ClapInputs(_WaveformInputs):
    """Inputs of `ClapNamer`: the waveforms, and the token ids of the names."""

    def load_tokenizer(self, folder: Path) -> ClapTokenizer:
        """Load CLAP's tokenizer.

        Args:
            folder: Folder of the model.

        Returns:
            The tokenizer.
        """
        return ClapTokenizer.from_file(folder / ClapTokenizer.FILE)

    def encode_names(self, texts: Sequence[str], tokenizer: ClapTokenizer) -> dict[str, Tensor]:
        """Encode the texts of names.

        Args:
            texts: Text of each name.
            tokenizer: CLAP's tokenizer.

        Returns:
            `sound_ids`, (C, L) int64.

        Raises:
            PromptError: If a text is too long, or has a word that the tokenizer does not know.
        """
        ids = tokenizer.encode(texts)
        if ids.shape[1] > self.max_tokens:
            # Padded rows do not show which text is the longest, so each is encoded again.
            longest = max(texts, key=lambda text: tokenizer.encode([text]).shape[1])
            raise text_too_long(longest, ids.shape[1], "CLAP", self.max_tokens)
        return {"sound_ids": ids}


@dataclass(frozen=True)
class _HubTokenInputs:
    """Base of the inputs of namers whose tokenizer is one of `transformers`.

    Args:
        sample_rate: Sample rate of the audio, in Hz.
        max_tokens: Maximum length of a text, in tokens.
    """

    #: Name of the network, for error messages.
    NETWORK: ClassVar[str]

    sample_rate: int
    max_tokens: int

    def load_tokenizer(self, folder: Path) -> HubTokenizer:
        """Load the tokenizer of the text encoder.

        Args:
            folder: Folder of the model.

        Returns:
            The tokenizer.
        """
        return HubTokenizer.from_folder(folder, SOUND_TOKENIZER)

    def encode_names(self, texts: Sequence[str], tokenizer: HubTokenizer) -> dict[str, Tensor]:
        """Encode the texts of names.

        Args:
            texts: Text of each name.
            tokenizer: The tokenizer.

        Returns:
            `sound_ids` (C, L) int64, and `sound_mask` (C, L) bool, False for padding.

        Raises:
            PromptError: If a text is too long, or the tokenizer has no token for it.
        """
        ids, mask = tokenizer.encode(texts, self.max_tokens, self.NETWORK)
        return {"sound_ids": ids, "sound_mask": mask}


@dataclass(frozen=True)
class PeAFrameInputs(_WaveformInputs, _HubTokenInputs):
    """Inputs of `PeAFrameNamer`: the waveforms, and the token ids of the names."""

    NETWORK = "PE-A-Frame"


@dataclass(frozen=True)
class LaionClapInputs(_HubTokenInputs):
    """Inputs of `LaionClapNamer`: log-mel spectrograms, and the token ids of the names.

    Args:
        num_mel_bins: Number of mel bands M.
        n_fft: Length of the spectrogram's window and transform, in samples.
        hop: Distance between two columns, in samples.
        fmin: Lower edge of the first mel band, in Hz.
        fmax: Upper edge of the last mel band, in Hz.
        max_s: Length to which a shorter window is repeated, in seconds.
    """

    NETWORK = "CLAP"

    num_mel_bins: int
    n_fft: int
    hop: int
    fmin: float
    fmax: float
    max_s: int

    @classmethod
    def from_config(cls, config: LaionClapConfig) -> Self:
        """Build the inputs that fit a configuration.

        Args:
            config: Configuration of the namer.

        Returns:
            The inputs.
        """
        return cls(
            config.sample_rate,
            config.max_text_tokens,
            config.num_mel_bins,
            config.n_fft,
            config.hop,
            config.fmin,
            config.fmax,
            config.max_s,
        )

    def prepare_windows(self, windows: Tensor) -> dict[str, Tensor]:
        """Compute the log-mel spectrograms with the feature extractor of `transformers`.

        Args:
            windows: Audio windows, (T, samples).

        Returns:
            `audio_features`, (T, 1, columns, M) float32.
        """
        features = self._extractor(
            windows.numpy(), sampling_rate=self.sample_rate, return_tensors="pt"
        )
        return {"audio_features": torch.as_tensor(features["input_features"]).float()}

    @cached_property
    def _extractor(self) -> ClapFeatureExtractor:
        """The feature extractor, built once, since it computes two banks of mel filters."""
        return ClapFeatureExtractor(
            feature_size=self.num_mel_bins,
            sampling_rate=self.sample_rate,
            hop_length=self.hop,
            max_length_s=self.max_s,
            fft_window_size=self.n_fft,
            frequency_min=self.fmin,
            frequency_max=self.fmax,
            truncation="rand_trunc",  # that of a CLAP without fusion; no window is so long
            padding="repeatpad",
        )
