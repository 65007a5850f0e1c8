"""Pseudo text and adapters of TAViS."""

import torch

from avseg.models.tavis.prompting import AudioAdapters
from tests.models.tavis_factories import IMAGEBIND, TAVIS, build


@torch.no_grad()
def test_the_first_words_do_not_depend_on_later_words() -> None:
    towers = build().imagebind
    words = torch.randn(3, IMAGEBIND.text.context, IMAGEBIND.text.width)
    short, full = towers.encode_words(words[:, :6]), towers.encode_words(words)
    torch.testing.assert_close(short, full[:, :6])


@torch.no_grad()
def test_the_last_word_depends_on_all_words() -> None:
    model = build()
    assert model.pseudo_text is not None
    tokens = torch.randn(1, 2, IMAGEBIND.audio.width)
    words = model.pseudo_text.to_words(tokens[0]).unflatten(-1, (6, -1))
    expected = model.imagebind.encode_words(words)[:, 5]
    torch.testing.assert_close(model.pseudo_text(tokens, model.imagebind)[0], expected)


@torch.no_grad()
def test_argmax_reads_out_the_word_that_a_layer_selects() -> None:
    model = build(readout="argmax")
    layer = model.pseudo_text
    assert layer is not None
    assert layer.choose is not None
    layer.choose.weight.zero_()
    layer.choose.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    tokens = torch.randn(1, 2, IMAGEBIND.audio.width)
    words = layer.to_words(tokens[0]).unflatten(-1, (6, -1))
    expected = model.imagebind.encode_words(words)[:, 2]
    torch.testing.assert_close(layer(tokens, model.imagebind)[0], expected)


def test_a_spare_adapter_is_built_and_not_used() -> None:
    dims = [16, 16, 32]
    adapters = AudioAdapters(TAVIS, dims)
    assert len(adapters.blocks) == 4
    vectors = adapters(torch.randn(2, 7, IMAGEBIND.audio.width))
    assert [vector.shape for vector in vectors] == [(2, dim) for dim in dims]
