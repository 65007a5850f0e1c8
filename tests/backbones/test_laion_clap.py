"""LAION's CLAP as a sound namer: the same cosines as the network of transformers."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from avseg.backbones.laion_clap import LaionClapConfig, LaionClapNamer
from tests.models.open_parts import CLAP_NAMER, LAION_CLAP, random_network

TEXTS = {
    "sound_ids": torch.tensor([[101, 5, 6, 102], [101, 7, 102, 0], [101, 9, 8, 102]]),
    "sound_mask": torch.tensor([[True] * 4, [True] * 3 + [False], [True] * 4]),
}


def build() -> LaionClapNamer:
    namer = LaionClapNamer(CLAP_NAMER).eval()
    namer.clap.load_state_dict(random_network(type(namer.clap), LAION_CLAP).state_dict())
    return namer


@torch.no_grad()
def test_cosines_and_shares_are_those_of_the_whole_network() -> None:
    namer = build()
    features = torch.randn(2, 1, 101, 16)
    scores = namer.score_names({"audio_features": features}, namer.embed_names(TEXTS))
    outputs = namer.clap(
        input_ids=TEXTS["sound_ids"],
        attention_mask=TEXTS["sound_mask"].long(),
        input_features=features,
    )
    assert scores.shape == (2, 1, 3)
    torch.testing.assert_close(scores[:, 0], outputs.audio_embeds @ outputs.text_embeds.T)
    torch.testing.assert_close(namer.shares(scores[:, 0]), outputs.logits_per_audio.softmax(dim=-1))


@torch.no_grad()
def test_the_embedding_of_a_name_does_not_depend_on_padding() -> None:
    namer = build()
    alone = {name: values[1:2, :3] for name, values in TEXTS.items()}
    torch.testing.assert_close(namer.embed_names(alone), namer.embed_names(TEXTS)[1:2])


def test_a_window_is_at_most_as_long_as_the_audio_of_the_network() -> None:
    CLAP_NAMER.check_window(1.0)
    with pytest.raises(ValueError, match=r"window_s is 1.1 s, .* at most 1 s"):
        CLAP_NAMER.check_window(1.1)


def test_a_fused_clap_is_refused() -> None:
    fused = LAION_CLAP.to_dict()
    fused["audio_config"]["enable_fusion"] = True
    with pytest.raises(StrictDataclassError, match="CLAP without fusion"):
        LaionClapConfig(clap_config=fused)
