"""Fusion of image and audio: what depends on what."""

import pytest
import torch
from torch import Tensor

from avseg.models.auralsam2.fuser import AuralFuser, ContrastHead, TwoWayFusion
from tests.models.auralsam2_factories import AURALSAM2
from tests.models.factories import randomise


@pytest.fixture(scope="module")
def fuser() -> AuralFuser:
    torch.manual_seed(0)
    model = AuralFuser(AURALSAM2)
    randomise(model)
    return model.train(mode=False)


def levels(frames: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(frames, 64, side, side, generator=generator) for side in (16, 8, 4)]


def audio(frames: int) -> Tensor:
    return torch.randn(frames, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("frames", [1, 3])
@torch.no_grad()
def test_every_level_is_fused_on_the_coarsest_grid(fuser: AuralFuser, frames: int) -> None:
    fused = fuser(levels(frames), audio(frames))
    assert [level.image.shape for level in fused] == [(frames, 16, 64)] * 3
    assert [level.audio.shape for level in fused] == [(frames, 64)] * 3


@torch.no_grad()
def test_the_audio_of_a_frame_changes_all_frames_of_the_window(fuser: AuralFuser) -> None:
    louder = audio(3)
    louder[2] += 1
    before, after = fuser(levels(3), audio(3)), fuser(levels(3), louder)
    for level in range(3):
        for frame in range(3):
            assert (before[level].image[frame] - after[level].image[frame]).abs().max() > 1e-6
            assert (before[level].audio[frame] - after[level].audio[frame]).abs().max() > 1e-6


@pytest.mark.parametrize("level", range(3))
@torch.no_grad()
def test_a_level_changes_its_own_result_and_those_of_coarser_levels(
    fuser: AuralFuser, level: int
) -> None:
    changed = levels(2)
    changed[level] += torch.randn(changed[level].shape, generator=torch.Generator().manual_seed(3))
    before, after = fuser(levels(2), audio(2)), fuser(changed, audio(2))
    differs = [
        bool((b.image - a.image).abs().max() > 1e-6) for b, a in zip(before, after, strict=True)
    ]
    assert differs == [number >= level for number in range(3)]


@torch.no_grad()
def test_an_untrained_fusion_exchanges_nothing() -> None:
    fusion = TwoWayFusion(8).train(mode=False)
    image, sound = torch.randn(2, 9, 8), torch.randn(2, 8)
    first, other = fusion(image, sound), fusion(image, sound + torch.randn(2, 8))
    torch.testing.assert_close(first.image, other.image)
    torch.testing.assert_close(fusion(image + 1, sound).audio, first.audio)


@torch.no_grad()
def test_rows_of_the_fusion_mix_channels_and_places_as_the_released_code_does() -> None:
    torch.manual_seed(0)
    fusion = TwoWayFusion(8).double().train(mode=False)
    randomise(fusion)
    frames, places, half = 2, 9, 4
    image, sound = torch.randn(frames, places, 8).double(), torch.randn(frames, 8).double()

    def rows(layer: torch.nn.Module) -> list[Tensor]:
        # Row r has the values half * r ... of each frame's map in the order (channel, place).
        maps = layer(image).permute(0, 2, 1)  # (T, channels, places)
        flat = [maps[t, c, p] for t in range(frames) for c in range(half) for p in range(places)]
        return [torch.stack(flat[half * r : half * (r + 1)]) for r in range(frames * places)]

    aligned = fusion.align(sound)
    keys, values = fusion.audio_key(aligned), fusion.audio_value(aligned)
    out = [
        sum((row @ keys[t]) * values[t] for t in range(frames)) / (frames * places)
        for row in rows(fusion.image_query)
    ]
    columns = torch.stack([torch.as_tensor(each) for each in out]).T.flatten()
    added = torch.empty(frames, places, half).double()
    for t in range(frames):
        for c in range(half):
            for p in range(places):
                added[t, p, c] = columns[(t * half + c) * places + p]
    normed = fusion.image_batch_norm(fusion.image_out(added).flatten(0, 1)).unflatten(0, (2, 9))
    expected = fusion.image_norm(image + normed)
    torch.testing.assert_close(fusion(image, sound).image, expected)

    queries = fusion.audio_query(aligned)
    pairs = list(zip(rows(fusion.image_key), rows(fusion.image_value), strict=True))
    heard = torch.stack(
        [
            torch.as_tensor(sum((queries[t] @ key) * value for key, value in pairs))
            for t in range(frames)
        ]
    ) / (frames * places)
    # The transposed (channels, frames) are read as (frames, channels).
    mixed = heard.T.reshape(frames, half)
    expected = fusion.audio_norm(aligned + fusion.audio_batch_norm(fusion.audio_out(mixed)))
    torch.testing.assert_close(fusion(image, sound).audio, expected)


def test_projected_features_are_unit_vectors() -> None:
    head = ContrastHead(8, 4)
    projected = head(torch.randn(2, 5, 8))
    assert projected.shape == (2, 5, 4)
    torch.testing.assert_close(projected.norm(dim=-1), torch.ones(2, 5))
    head(torch.randn(3, 8))
    assert int(head.batch_norm.num_batches_tracked or 0) == 2


def test_the_released_size_trains_what_the_released_code_gives_a_gradient() -> None:
    from avseg.models.auralsam2 import AuralSam2Config

    with torch.device("meta"):
        model = AuralFuser(AuralSam2Config())
    # 58,279,424 values, of which 9,733,632 are never used.
    assert sum(p.numel() for p in model.parameters()) == 58_279_424 - 9_733_632
    assert len(list(model.parameters())) == 712 - 66
