"""VGGish: its log-mel front end and its network."""

import math

import pytest
import torch

from avseg.backbones.vggish import Vggish, VggishConfig, log_mel

CONFIG = VggishConfig()
SMALL = VggishConfig(columns=16, mel_bins=32, channels=[2, 3, 4, 5], hidden_dim=6, dim=7)


def tone(frequency: float, config: VggishConfig = CONFIG) -> torch.Tensor:
    times = torch.arange(config.window_samples) / config.sample_rate
    return torch.sin(2 * math.pi * frequency * times).unsqueeze(0)


def test_a_window_of_975_ms_gives_96_columns_of_64_bands() -> None:
    assert CONFIG.window_s == 0.975
    assert log_mel(torch.zeros(2, 15600), CONFIG).shape == (2, 96, 64)


def test_silence_is_the_logarithm_of_the_offset() -> None:
    quiet = log_mel(torch.zeros(1, 15600), CONFIG)
    torch.testing.assert_close(quiet, torch.full_like(quiet, math.log(0.01)))


def test_audio_of_another_length_raises_an_error() -> None:
    with pytest.raises(ValueError, match="16000 samples, a spectrogram of 96 columns needs 15600"):
        log_mel(torch.zeros(1, 16000), CONFIG)


def mel(frequency: float) -> float:
    return 1127 * math.log(1 + frequency / 700)


@pytest.mark.parametrize("frequency", [440.0, 3000.0])
def test_a_column_equals_its_definition(frequency: float) -> None:
    waveform = tone(frequency)[0]
    column = 3
    samples = [waveform[160 * column + n].item() for n in range(400)]
    weighted = [x * (0.5 - 0.5 * math.cos(2 * math.pi * n / 400)) for n, x in enumerate(samples)]
    magnitudes = []
    for k in range(257):
        real = sum(x * math.cos(2 * math.pi * k * n / 512) for n, x in enumerate(weighted))
        imaginary = sum(x * math.sin(2 * math.pi * k * n / 512) for n, x in enumerate(weighted))
        magnitudes.append(math.hypot(real, imaginary))
    edges = [mel(125) + i * (mel(7500) - mel(125)) / 65 for i in range(66)]
    band = next(i for i in range(64) if edges[i + 1] > mel(frequency)) - 1
    left, centre, right = edges[band : band + 3]
    value = sum(
        magnitude
        * max(
            0.0,
            min(
                (mel(31.25 * k) - left) / (centre - left),
                (right - mel(31.25 * k)) / (right - centre),
            ),
        )
        for k, magnitude in enumerate(magnitudes)
    )
    spectrogram = log_mel(waveform.unsqueeze(0), CONFIG)[0]
    assert spectrogram[column, band].item() == pytest.approx(math.log(value + 0.01), abs=2e-4)


def test_the_published_size_has_as_many_weights_as_the_published_file() -> None:
    with torch.device("meta"):
        model = Vggish(CONFIG)
    assert sum(p.numel() for p in model.parameters()) == 72_141_184


@torch.no_grad()
def test_embeddings_are_not_negative() -> None:
    torch.manual_seed(0)
    embeddings = Vggish(SMALL)(torch.randn(5, 16, 32))
    assert embeddings.shape == (5, 7)
    assert embeddings.min() >= 0


@torch.no_grad()
def test_the_channels_are_the_last_axis_of_the_flattened_features() -> None:
    model = Vggish(SMALL)
    maps = model.features(torch.randn(1, 1, 16, 32))  # (1, 5, 1, 2)
    flat: list[torch.Tensor] = []
    model.embeddings.register_forward_pre_hook(lambda _, inputs: flat.append(inputs[0]))
    vars(model.features)["forward"] = lambda _: maps
    model(torch.zeros(1, 16, 32))
    assert torch.equal(flat[0][0], torch.cat([maps[0, :, 0, 0], maps[0, :, 0, 1]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 8000}, "sample_rate must be at least 15000 Hz"),
        ({"columns": 90}, "columns must be a multiple of 16, got 90"),
        ({"channels": [4, 8]}, "channels needs 4 entries"),
    ],
)
def test_wrong_sizes_raise_an_error(changes: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        CONFIG.replace(**changes)
