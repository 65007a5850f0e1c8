"""Similarity of audio and masked images with names."""

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.models.tavis.bridge import highlight
from tests.models.tavis_factories import NAME_IDS, build


def test_a_frame_passes_if_one_name_matches_its_audio_and_its_image() -> None:
    model = build(thresholds={"min_agreement": 0.5, "min_similarity": 0.5})
    audio = torch.tensor([[0.9, 0.0], [0.9, 0.0], [0.9, 0.2], [0.4, 0.0]])
    image = torch.tensor([[0.2, 0.0], [0.0, 0.9], [0.0, 0.9], [0.9, 0.0]])
    assert model.bridge.passes_thresholds(audio, image).tolist() == [True, False, True, False]


def test_the_logit_of_audio_is_its_cosine_times_both_scales() -> None:
    model = build(a_scale=3.0)
    names = model.encode_names(NAME_IDS)
    objects = torch.randn(2, 5, 32)
    with torch.no_grad():
        logits = model.bridge.compare_audio(objects, names)
        audio = F.normalize(model.imagebind.project_audio(objects), dim=-1)
    scale = names.embeddings.norm(dim=-1)  # the logit scale of the texts
    cosines = audio @ F.normalize(names.embeddings, dim=-1).T
    torch.testing.assert_close(logits, 3.0 * scale * cosines)


def test_the_cosines_of_a_frame_do_not_have_the_background() -> None:
    model = build()
    names = model.encode_names(NAME_IDS)
    with torch.no_grad():
        audio, images = model.bridge.compare_frames(torch.randn(3, 32), torch.randn(3, 24), names)
    assert audio.shape == images.shape == (3, len(NAME_IDS) - 1)
    assert max(audio.abs().max(), images.abs().max()) <= 1 + 1e-6


def test_the_background_of_a_mask_is_blurred() -> None:
    frames = torch.rand(1, 3, 64, 64)
    everything, nothing = torch.full((1, 1, 16, 16), 50.0), torch.full((1, 1, 16, 16), -50.0)
    torch.testing.assert_close(highlight(frames, everything, 21)[:, 0], frames)
    blurred: Tensor = highlight(frames, nothing, 21)[0, 0, :, 20:44, 20:44]
    assert blurred.std() < 0.2 * frames.std()
    box = F.avg_pool2d(frames, 21, stride=1, padding=10)
    torch.testing.assert_close(highlight(frames, nothing, 21)[:, 0], box)
