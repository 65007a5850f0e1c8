"""PE-A-Frame as a sound namer: the same probabilities as the network of transformers."""

import pytest
import torch

from avseg.backbones.pe_a_frame import PeAFrameNamer
from tests.models.open_parts import NAMER, PE_AUDIO, random_network

TEXTS = {
    "sound_ids": torch.tensor([[101, 5, 6, 102], [101, 7, 102, 0], [101, 9, 8, 102]]),
    "sound_mask": torch.tensor([[True] * 4, [True] * 3 + [False], [True] * 4]),
}


def build() -> PeAFrameNamer:
    namer = PeAFrameNamer(NAMER).eval()
    published = random_network(type(namer.pe_audio), PE_AUDIO)
    namer.pe_audio.load_state_dict(published.state_dict())
    return namer


@torch.no_grad()
def test_probabilities_are_those_of_the_whole_network() -> None:
    namer = build()
    audio = torch.randn(2, 3200)
    scores = namer.score_names({"audio_values": audio}, namer.embed_names(TEXTS))
    outputs = namer.pe_audio(
        input_ids=TEXTS["sound_ids"],
        attention_mask=TEXTS["sound_mask"],
        input_values=audio.unsqueeze(1),
    )
    assert scores.shape == (2, 10, 3)
    torch.testing.assert_close(scores.mT, outputs.logits_audio_text.sigmoid())


@torch.no_grad()
def test_the_embedding_of_a_name_does_not_depend_on_padding() -> None:
    namer = build()
    alone = {name: values[1:2, :3] for name, values in TEXTS.items()}
    torch.testing.assert_close(namer.embed_names(alone), namer.embed_names(TEXTS)[1:2])


def test_shares_are_odds_that_sum_to_one() -> None:
    shares = build().shares(torch.tensor([[0.5, 0.75, 0.0]]))
    torch.testing.assert_close(shares, torch.tensor([[0.25, 0.75, 0.0]]), atol=1e-5, rtol=0)


def test_a_window_is_a_multiple_of_40_ms() -> None:
    NAMER.check_window(0.4)
    for window_s in (0.41, 0.01):
        with pytest.raises(ValueError, match=r"takes multiples of 320 \(0.04 s\)"):
            NAMER.check_window(window_s)
