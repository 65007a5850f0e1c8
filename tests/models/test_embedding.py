"""Embedding spaces of the families."""

import pytest
import torch

from avseg.models.av2t_sam import Av2tSamModel
from avseg.models.embedding import Embedder
from avseg.models.sama import SamaModel
from tests.models import tavis_factories
from tests.models.factories import CONFIG, SAMA, inputs


@pytest.mark.parametrize(
    ("features", "spaces"),
    [
        ("clip", [("picture", 24), ("picture", 96)]),
        ("clap", [("sound", 20), ("sound", 96)]),
        ("mul", [("picture", 24), ("sound", 20), ("both", 96)]),
    ],
)
def test_av2t_sam_embeds_its_towers_separately_and_the_prompt(
    features: str, spaces: list[tuple[str, int]]
) -> None:
    model = Av2tSamModel(CONFIG.replace(features=features)).eval()
    shown = [
        (modality, points)
        for space in model.embed(inputs(frames=3))
        for modality, points in space.points.items()
    ]
    assert [modality for modality, _ in shown] == [modality for modality, _ in spaces]
    for (_, points), (_, width) in zip(shown, spaces, strict=True):
        assert points.shape == (1, 3, width)


def test_tavis_embeds_imagebind_and_the_query_with_the_most_probable_name() -> None:
    model = tavis_factories.build(memory_at_test=False)
    given = tavis_factories.given(frames=2)
    plain, bridged = model.embed(given)
    with torch.no_grad():
        sound, picture_cls = model.encode_inputs(
            given["pixel_values"].flatten(0, 1), given["audio_values"].flatten(0, 1)
        )
        objects = model.imagebind.project_audio(model.build_prompts(sound, picture_cls).objects)
        said = model(**given)
        probs = said.class_probs[0, :, :, 1:].amax(-1)  # (T, Q)
        probs[~(said.query_logits[0] > 0).flatten(2).any(-1)] = 0
        surest = probs.argmax(-1)
    torch.testing.assert_close(plain.points["sound"][0], model.imagebind.project_audio(sound.cls))
    torch.testing.assert_close(
        plain.points["picture"][0], model.imagebind.project_image(picture_cls)
    )
    torch.testing.assert_close(bridged.points["sound"][0], objects[torch.arange(2), surest])
    assert not torch.allclose(bridged.points["picture"], plain.points["picture"])


def test_a_model_with_embeddings_is_an_embedder() -> None:
    assert isinstance(Av2tSamModel(CONFIG), Embedder)
    assert not isinstance(SamaModel(SAMA), Embedder)
