"""TAViS computes what its authors' code computes, on the same weights and inputs.

`tavis.npz` holds what github.com/Sssssuperior/TAViS at 00212fe computes at a tiny size, for two
clips of three frames at 224 x 224, in evaluation mode on a CPU with torch 2.13.0: decomposition,
prompts, memory, masks, embeddings, every loss, and the gradients' norms. Weights are those of
`reference.make_weight`; the causal mask and the logit scale of audio are the model's own.

The code does not run as published. Mended for the recording: a string without its opening quote,
the width of the text tower (1024 in four places), and calls that need CUDA. Changed: float64
wherever it casts to float32, memory that is not rounded to bfloat16, masks whose holes are not
filled, no dropout, 256 points to match at instead of 12,544. Everything else is the released
behaviour, with the switches of `TavisConfig.release_faithful`; memory is on, as in the authors'
training.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.imagebind import ImageBindConfig
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.sam2_memory import Sam2MemoryConfig
from avseg.checkpoints.keymaps.tavis import tavis
from avseg.models.outputs import resize_logits
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.losses import compute_losses, total_loss
from tests.parity.reference import make_weight

pytestmark = pytest.mark.parity

#: transformers turns keys and queries of the memory attention by angles in float32.
TOLERANCE = 1e-6

SEED = 0
CLIPS, FRAMES, NAMES = 2, 3, 6
CONFIG = TavisConfig.release_faithful(
    sam_config=PromptedSam2Config(
        image_size=224,
        blocks_per_stage=[1, 2, 1, 1],
        embed_dims=[16, 32, 64, 128],
        num_heads=[1, 2, 4, 8],
        window_sizes=[8, 4, 4, 2],
        global_blocks=[2],
        prompt_dim=128,
    ),
    memory_config=Sam2MemoryConfig(layers=2, ffn_dim=48, dropout=0.0, presence_cut=-2.0),
    imagebind_config=ImageBindConfig(
        vision={"width": 32, "blocks": 1, "heads": 2},
        audio={"width": 24, "blocks": 1, "heads": 2},
        text={"width": 16, "blocks": 1, "heads": 2},
        dim=20,
    ),
    adapter_input_dim=12,
    adapter_dim=10,
    losses={"match_points": 256},
    memory_at_test=True,
)
TABLE = tavis("argmax")


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    """Recorded outputs of the authors' code."""
    with np.load(Path(__file__).parent / "tavis.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def published(recorded: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The published state dict."""
    shapes: dict[str, list[int]] = json.loads(str(recorded["shapes"]))
    made = {name: make_weight(name, shape, SEED) for name, shape in shapes.items()}
    scale = "imagebind.modality_postprocessors.audio.1.log_logit_scale"
    return made | {scale: torch.tensor(math.log(20.0))}


@pytest.fixture(scope="module")
def model(published: dict[str, Tensor]) -> TavisModel:
    """Our model with these weights, in float64 and evaluation mode."""
    model = TavisModel(CONFIG)
    model.load_state_dict(TABLE.fit(published, model.state_dict()).tensors)
    return model.double().train(mode=False)


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    """Two clips of three frames; the second frame of the first is silent."""
    generator = torch.Generator().manual_seed(SEED)
    images = torch.rand(CLIPS, FRAMES, 3, 28, 28, generator=generator).double()
    images = F.interpolate(images.flatten(0, 1), (224, 224), mode="bilinear")
    spectrograms = torch.randn(CLIPS * FRAMES, 1, 128, 204, generator=generator).double()
    texts = torch.randint(1, 400, (NAMES, 77), generator=generator)
    for row in range(NAMES):
        texts[row, 2 + row] = 49407
    labels = torch.randint(0, NAMES, (CLIPS, FRAMES, 4, 4), generator=generator)
    labels = labels.repeat_interleave(56, -1).repeat_interleave(56, -2)
    labels[0, 1] = 0
    return {
        "pixel_values": images.view(CLIPS, FRAMES, 3, 224, 224),
        "audio_values": spectrograms.view(CLIPS, FRAMES, 1, 128, 204),
        "name_ids": texts,
        "targets": labels,
    }


@pytest.fixture(scope="module")
def computed(
    model: TavisModel, inputs: dict[str, Tensor], recorded: dict[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Our intermediate results, the loss, and the gradients."""
    shape = (CLIPS, FRAMES)
    frames, spectrograms = (
        inputs["pixel_values"].flatten(0, 1),
        inputs["audio_values"].flatten(0, 1),
    )
    recalled: list[Tensor] = []
    maps: list[Tensor] = []
    hooks = [
        model.memory.attention.register_forward_hook(lambda _, __, out: recalled.append(out[0])),
        model.memory.encoder.register_forward_hook(lambda _, __, out: maps.append(out[0])),
    ]
    with pytest.MonkeyPatch.context() as patch:
        points = torch.from_numpy(recorded["points"])
        patch.setattr(torch, "rand", lambda *_, **__: points)
        names = model.encode_names(inputs["name_ids"])
        sound, picture_cls = model.encode_inputs(frames, spectrograms)
        prompts = model.build_prompts(sound, picture_cls)
        masks = model.decode_masks(frames, sound, prompts, shape, None)
        by_sound = model.bridge.compare_audio(prompts.objects, names)
        by_picture = model.bridge.compare_images(frames, masks.logits[:, :-1], names)
        pseudo_text = prompts.pseudo_text
        assert pseudo_text is not None
        parts, pairs = compute_losses(
            masks.logits,
            (by_sound, by_picture),
            pseudo_text[:, :-1],
            names.states,
            inputs["targets"].flatten(0, 1),
            CONFIG.losses,
        )
        loss: Any = total_loss(parts, pairs, CONFIG.losses)
        loss.backward()
    for hook in hooks:
        hook.remove()
    yield {
        "sound": sound,
        "picture_cls": picture_cls,
        "names": names,
        "prompts": prompts,
        "masks": masks,
        "by_sound": by_sound,
        "by_picture": by_picture,
        "parts": parts,
        "pairs": pairs,
        "loss": loss,
        "recalled": recalled,
        "maps": maps,
    }
    model.zero_grad()


def close(ours: Tensor, reference: np.ndarray, tolerance: float = TOLERANCE) -> None:
    """Require equality up to rounding."""
    expected = torch.from_numpy(np.asarray(reference))
    torch.testing.assert_close(
        ours.detach().reshape(expected.shape), expected, atol=tolerance, rtol=tolerance
    )


def test_the_key_map_has_every_published_name(
    published: dict[str, Tensor], model: TavisModel
) -> None:
    converted = TABLE.to_ours(published)
    assert converted.tensors.keys() == model.state_dict().keys()
    back = TABLE.to_published(converted.tensors) | converted.unused
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], values) for name, values in published.items())


def test_the_decomposition_equals_the_authors(
    model: TavisModel, computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    assert model.decomposition is not None
    sound = computed["sound"]
    with torch.no_grad():
        queries, objects = model.decomposition(sound.tokens, sound.cls)
    close(queries, recorded["queries"], 1e-9)
    close(objects, recorded["objects"], 1e-9)


def test_prompts_and_adapters_equal_the_authors(
    model: TavisModel, computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    prompts = computed["prompts"]
    close(prompts.pseudo_text[:, :-1], recorded["pseudo_text"], 1e-9)
    close(prompts.sparse, recorded["sparse"], 1e-9)
    close(prompts.dense, recorded["dense"], 1e-9)
    assert model.adapters is not None
    with torch.no_grad():
        vectors = model.adapters(computed["sound"].tokens)
    for number, vector in enumerate(vectors):  # the recording is of each clip's first frame
        close(vector[::FRAMES], recorded[f"adapters.{number}"], 1e-9)


def test_the_memory_equals_the_authors(
    computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    assert len(computed["recalled"]) == FRAMES - 1
    for number, found in enumerate(computed["recalled"]):
        close(found.transpose(1, 2)[:, ::16, ::9], recorded[f"recalled.{number}"])
    for number in range(FRAMES):
        memory_map = computed["maps"][number][:, ::8, ::4, ::4]
        close(memory_map, recorded[f"memory_map.{number}"])


def test_the_masks_equal_the_authors(
    computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    logits = resize_logits(computed["masks"].logits, (224, 224))[..., ::16, ::16]
    close(logits[:, :-1], recorded["masks"], 1e-5)
    close(logits[:, -1], recorded["binary"], 1e-5)


def test_similarities_of_audio_and_images_with_names_equal_the_authors(
    computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    close(computed["names"].embeddings, recorded["text"], 1e-9)
    close(computed["names"].states, recorded["text_states"], 1e-9)
    text = recorded["text"]
    close(computed["by_sound"], recorded["audio"] @ text.T)
    close(computed["by_picture"], recorded["visual"] @ text.T)


def test_every_loss_equals_the_authors(
    computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    parts, pairs = computed["parts"], computed["pairs"]
    close(parts["a2t"] / pairs, recorded["a2t"])
    close(parts["i2t"] / pairs, recorded["v2t"])
    close(parts["separate"], recorded["ce_sep"] + recorded["iou_sep"])
    close(parts["binary"], recorded["ce_all"] + recorded["iou_all"])
    close(computed["loss"], recorded["loss_G"])


def test_the_gradients_equal_the_authors(
    model: TavisModel, computed: dict[str, Any], recorded: dict[str, np.ndarray]
) -> None:
    del computed  # they are in the model
    reference: dict[str, float] = json.loads(str(recorded["gradients"]))
    norms = {
        name: values.grad
        for name, values in model.named_parameters()
        if values.grad is not None and values.requires_grad
    }
    ours = TABLE.to_published(norms)
    assert set(reference) - set(ours) == set()
    for name, norm in reference.items():
        assert ours[name].norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-7), name
