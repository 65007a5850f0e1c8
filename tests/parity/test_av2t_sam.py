"""AV2T-SAM computes what its authors' code computes, on the same weights and inputs.

The default tier compares with recorded cases of a tiny size, in float64: whatever is not the same
computation differs by far more than rounding. The full size is compared in float32 by
`benchmarks/parity_av2t.py` on recorded files that are too large to ship.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from avseg.backbones.sam import MaskPrediction
from tests.parity.reference import Case

pytestmark = pytest.mark.parity

#: float64 leaves room for nothing but another order of summation.
TOLERANCE = 1e-9

CASES = {
    "sam2_mul_adapters": (2, "mul", True, 0),
    "sam1_mul_adapters": (1, "mul", True, 1),
    "sam2_clap": (2, "clap", False, 2),
    "sam2_clip_adapters": (2, "clip", True, 3),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """A recorded case."""
    return Case(request.param, *CASES[request.param])


def close(ours: torch.Tensor, recorded: np.ndarray) -> None:
    """Require equality up to rounding."""
    reference = torch.from_numpy(recorded)
    torch.testing.assert_close(
        ours.detach().reshape(reference.shape), reference, atol=TOLERANCE, rtol=0
    )


def test_the_key_map_has_every_published_name(case: Case) -> None:
    converted = case.table.to_ours(case.published)
    back = case.table.to_published(converted.tensors) | converted.unused
    assert back.keys() == case.shapes.keys()
    assert all(torch.equal(back[name], values) for name, values in case.published.items())


def test_features_and_prompts_equal_the_authors(case: Case) -> None:
    model, clip, recorded = case.model(), case.inputs(), case.recorded
    segmenter = model.segmenter
    with torch.no_grad():
        fused = model.projector.fuse(
            None if model.clip is None else clip["clip_embeddings"][0],
            None if model.clap is None else clip["clap_embeddings"][0],
        )
        vectors = None if model.adapters is None else model.adapters(fused)
        features = segmenter.sam.encode_images(clip["pixel_values_sam"][0], vectors)
        tokens = segmenter.beit3.embed_images(clip["pixel_values_beit3"][0])
        text = model.projector(fused)
        cls = segmenter.beit3(tokens, text, cls_only=True)
    for i, vector in enumerate(vectors or []):
        close(vector, recorded[f"block_prompts.{i}"])
    close(text, recorded["text_embeds"])
    close(cls, recorded["beit3_cls"])
    close(segmenter.text_hidden_fcs(cls), recorded["text_prompt"])
    if "image_embed" in recorded:
        close(features.embeddings, recorded["image_embed"])
        return
    sam2 = segmenter.get_submodule("sam.sam2")
    # SAM 2 adds its "no memory" vector to the coarsest level, after what is recorded here.
    no_memory = sam2.get_parameter("no_memory_embedding").view(1, -1, 1, 1)
    close(features.levels[0] - no_memory, recorded["fpn_top"])
    stride8 = sam2.get_submodule("mask_decoder.conv_s1")(features.levels[1])
    stride4 = sam2.get_submodule("mask_decoder.conv_s0")(features.levels[2])
    close(stride8[..., ::2, ::2], recorded["high_res_s1_every2"])
    close(stride4[..., ::4, ::4], recorded["high_res_s0_every4"])


def test_the_mask_decoder_equals_the_authors(case: Case) -> None:
    model, clip, recorded = case.model(), case.inputs(), case.recorded
    predictions: list[MaskPrediction] = []
    decode = model.segmenter.sam.decode_masks

    def keep(*args: Any, **options: Any) -> MaskPrediction:
        predictions.append(decode(*args, **options))
        return predictions[-1]

    model.segmenter.sam.decode_masks = keep
    with torch.no_grad():
        out = model(**clip)
    (prediction,) = predictions
    close(prediction.mask_logits[..., ::2, ::2], recorded["low_res_masks_every2"])
    close(prediction.iou_predictions, recorded["iou"])
    if "object_score" in recorded:
        assert prediction.object_score_logits is not None
        close(prediction.object_score_logits, recorded["object_score"])
    masks = F.interpolate(out.mask_logits, (24, 24), mode="bilinear")
    close(masks, recorded["pred_masks"])


def test_loss_and_gradients_of_a_training_step_equal_the_authors(case: Case) -> None:
    model, recorded = case.model(), case.recorded
    model.activation_checkpointing_enable()
    loss = model(**case.inputs()).loss
    loss.backward()
    close(loss, recorded["loss"])
    trained = {name: values for name, values in model.named_parameters() if values.requires_grad}
    gradients = case.table.to_published(
        {name: values.grad for name, values in trained.items() if values.grad is not None}
    )
    norms = dict(zip(json_list(recorded, "grad_norm_names"), recorded["grad_norms"], strict=True))
    assert gradients.keys() == norms.keys()
    for name, norm in norms.items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-8, abs=TOLERANCE), name
    without = case.table.to_published({n: v for n, v in trained.items() if v.grad is None})
    # Their model has the projection of the unused tower; ours does not.
    expected = {name for name in json_list(recorded, "no_grad_trainable") if "_proj." not in name}
    assert without.keys() == expected


def json_list(recorded: dict[str, np.ndarray], key: str) -> list[str]:
    """Read a recorded list of names."""
    names: list[str] = json.loads(str(recorded[key]))
    return names


FULL_SIZE = {
    "evf_sam2_adapters_T1_seed0": ["--seed", "0"],
    "evf_sam2_plain_T1_seed0": ["--seed", "0", "--no-adapters"],
    "evf_sam1_adapters_T1_seed0": ["--seed", "0", "--sam", "1"],
    "evf_sam2_adapters_T1_seed1_train_step": ["--seed", "1"],
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    "AVSEG_RECORDED" not in os.environ,
    reason="AVSEG_RECORDED does not name the folder of the recorded full-size files",
)
@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_published_size_is_within_tolerance(name: str) -> None:
    folder = Path(os.environ["AVSEG_RECORDED"])
    options = FULL_SIZE[name]
    shapes = "shapes_evf_sam.json" if "--sam" in options else "shapes_evf_sam2.json"
    script = Path(__file__).parents[2] / "benchmarks" / "parity_av2t.py"
    files = ["--recorded", str(folder / f"{name}.npz"), "--shapes", str(folder / shapes)]
    run = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script), *files, "--frames", "1", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
