"""The pre-training of ImageBind at its smallest: which pairs match, and what is trained."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.imagebind import ImageBindConfig
from avseg.training.pretraining.imagebind_objective import ImageBindPretraining

CONFIG = ImageBindConfig(
    vision={"image_size": 32, "patch_size": 8, "stem_channels": [4], "width": 8, "blocks": 1}
    | {"heads": 2},
    audio={"mel_bins": 16, "target_length": 16, "width": 8, "blocks": 1, "heads": 2},
    text={"vocab": 6, "context": 5, "width": 8, "blocks": 1, "heads": 2},
    dim=8,
)
#: Words 1 and 2, and 3 for nothing; 5 ends.
CAPTIONS = torch.tensor([[1, 5], [2, 5], [3, 5]])


def make_model() -> ImageBindPretraining:
    torch.manual_seed(0)
    return ImageBindPretraining(CONFIG, CAPTIONS)


def make_batch() -> dict[str, Tensor]:
    """The first image shows both categories, the second one of them; one is audible in each."""
    torch.manual_seed(1)
    return {
        "pixel_values": torch.randn(2, 3, 32, 32),
        "spectrograms": torch.randn(2, 1, 16, 16),
        "texts": torch.tensor([[1, 2, 2, 5], [2, 5, 0, 0]]),
        "shown": torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
        "heard": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "classes": torch.randint(0, 3, (2, 32, 32)).to(torch.uint8),
    }


def test_logits_belong_to_the_captions_of_the_categories() -> None:
    model, batch = make_model().eval(), make_batch()
    out = model(**batch)
    bind = model.imagebind
    pictures = bind.project_image(bind.encode_images(batch["pixel_values"]).cls)
    expected = pictures @ bind.encode_text(CAPTIONS).T + model.biases[0]
    torch.testing.assert_close(out.image_logits, expected)
    sounds = bind.project_audio(bind.encode_audio(batch["spectrograms"]).cls)
    torch.testing.assert_close(out.pair_logits, pictures @ sounds.T + model.biases[2])
    words = F.normalize(sounds, dim=-1) @ bind.encode_text(CAPTIONS).T + model.biases[1]
    torch.testing.assert_close(out.audio_logits, words)


@pytest.mark.parametrize(
    ("key", "row", "column", "value", "what"),
    [
        ("shown", 0, 0, 0.0, "the text that names both is no longer true of the first picture"),
        ("heard", 0, 1, 1.0, "it becomes true of the first sound"),
    ],
)
def test_a_text_matches_if_all_its_categories_are_present(
    key: str, row: int, column: int, value: float, what: str
) -> None:
    model, batch = make_model().eval(), make_batch()
    every = model._named_categories(batch["texts"])
    assert every.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 0]]
    before = model(**batch).loss
    batch[key][row, column] = value
    assert model(**batch).loss != before, what


def test_every_parameter_that_the_loss_depends_on_has_a_gradient() -> None:
    model, batch = make_model().train(), make_batch()
    model(**batch).loss.backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not still


def test_in_training_every_second_image_is_encoded_at_half_its_size() -> None:
    model, batch = make_model(), make_batch()
    seen: list[tuple[int, ...]] = []
    model.imagebind.vision_tower.register_forward_hook(
        lambda _, arguments, __: seen.append(tuple(arguments[0].shape))
    )
    model.train()(**batch)
    model.eval()(**batch)
    assert seen == [(1, 3, 32, 32), (1, 3, 16, 16), (2, 3, 32, 32)]
