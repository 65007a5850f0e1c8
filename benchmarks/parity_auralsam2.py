"""How far is AuralSAM2 from recorded outputs of the authors' code, with the same weights?

    python benchmarks/parity_auralsam2.py --recorded FILE.npz --seed N

One clip of T frames, in the dtype of the file, and one training step if the file has one. T comes
from the shapes in the file. Image encoder and side of the frames come from a name such as
"hiera_t224", or from --encoder and --side; without either they are Hiera-L, and the side at which
the logits were recorded at every second pixel. The script prints, for every recorded
tensor, the largest absolute difference, the scale (the largest absolute recorded value) and the
tolerance. It exits with 1 if a difference is above its tolerance.

The weights are generated from the published names and shapes and the seed (`weight`), the inputs
from the seed (`inputs`), except for the spectrograms: those of the file are used, so that a file
may have been recorded with mono audio. The recordings are of github.com/yyliu01/AuralSAM2 at
64a16dd, directory v1m.code, on a CPU without autocast. G is the side of the image embedding's grid:

| key in the file | content |
| --- | --- |
| spect | spectrograms, (T, 2, 96, 64) |
| frames_strided, label_strided | every (side / 16)-th row and column of the inputs |
| vggish | embeddings of left and right channel, (T, 256) |
| fpn0, fpn1, fpn2 | feature pyramid, fine to coarse, strided |
| fused0..2, audio0..2 | fused features, (T, G, G, 256) strided, and (T, 256) |
| proj_v0..2, proj_a0..2 | unit vectors for the contrast, (T, 128, G, G) strided, (T, 128, 1) |
| pix_feat | image embeddings with memory, (T, 256, G, G) strided |
| tokens_in_after_audio | position code of the tokens, (T, 6, 256) |
| tokens_out, keys_out | tokens and places after the decoder's transformer, (T, G, G, 256) strided |
| obj_ptr_proj, memory | object pointers, and memory maps, (T, 64, G, G) strided |
| dense_prompt, sparse_prompt_shape, image_pe | inputs of the decoder |
| low_res_logits, high_res_logits | masks, (T, 3, 4G, 4G) every second pixel, and at full size |
| pred_iou, object_score, argmax_margin | quality of the masks, and best minus second IoU |
| train/NAME | the same in a training step without dropout, middle frame first |
| train/loss_*, train/core_loss | losses, sums over the frames |
| train/grad_names, train/grad_norm_core | norms of the gradients of `core_loss` |
| train/grad_core/NAME | whole gradients of small parameters |
| train/buffer_after/NAME | running statistics after the step |
| train/no_grad_names | parameters that never get a gradient; the model here has none of them |

The contrastive loss is not compared: the one here has the labels of its own pixels, the released
one does not.

Hiera-L at 1024 pixels with three frames and a training step takes 540 CPU-s and 9.5 GB.

The first frame that is decoded has no memory. The masks in the memory are cut at 0, so rounding
moves whole pixels of them; frames with memory have a wide tolerance in float32.
"""

import argparse
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_av2t import Table, weight
from torch import Tensor
from torch.nn import functional as F
from transformers.initialization import no_init_weights

from avseg.backbones.sam import MaskPrediction
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.keymaps.auralsam2 import AURALSAM2
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Model
from avseg.models.auralsam2.fuser import FusedLevel
from avseg.models.auralsam2.losses import frame_losses

#: Sizes of SAM 2's image encoders.
ENCODERS: dict[str, dict[str, Any]] = {
    "hiera_t": {
        "blocks_per_stage": [1, 2, 7, 2],
        "embed_dims": [96, 192, 384, 768],
        "num_heads": [1, 2, 4, 8],
        "window_sizes": [8, 4, 14, 7],
        "global_blocks": [5, 7, 9],
    },
    "hiera_s": {
        "blocks_per_stage": [1, 2, 11, 2],
        "embed_dims": [96, 192, 384, 768],
        "num_heads": [1, 2, 4, 8],
        "window_sizes": [8, 4, 14, 7],
        "global_blocks": [7, 10, 13],
    },
    "hiera_l": {},
}

#: Tolerances relative to the largest value of a tensor: before the decoder, after it, and after it
#: for a frame with memory, in float32 and in float64.
_FEATURES, _DECODED, _LATER, _LATER_FLOAT64 = 1e-4, 2e-3, 1e-1, 2e-3

#: Tolerance of fused features in a training step. Its batch norms divide by the spread of T audio
#: vectors, which amplifies rounding.
_NORMED = 1e-3

#: Tolerance of losses, and of the norms of gradients.
_LOSSES, _GRADIENTS = 1e-1, 5e-1

#: Tensors computed by the decoder or after it.
_AFTER_THE_DECODER = (
    *("tokens_out", "keys_out", "obj_ptr_proj", "memory", "low_res_logits", "high_res_logits"),
    *("pred_iou", "object_score", "argmax_margin"),
)

#: Tensors for which a tolerance is relative to 1 if all of their values are smaller.
_UNIT_SCALE = ("pred_iou", "object_score", "argmax_margin")


def published_weight(name: str, shape: list[int], seed: int) -> Tensor:
    """Generate the values of a published tensor from its name, its shape and the seed."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    values = weight(name, shape, seed)
    # A variance is positive.
    return 0.5 + values.abs() if name.endswith("running_var") else values


def inputs(seed: int, frames: int, side: int, channels: int = 2) -> dict[str, Tensor]:
    """Generate frames, spectrograms and ground truth of one clip; the last frame is empty."""
    generator = torch.Generator().manual_seed(30_000 + seed)
    pixels = torch.randn(frames, 3, side, side, generator=generator)
    spectrograms = 2 * torch.randn(frames, channels, 96, 64, generator=generator) - 1
    blocks = (torch.rand(frames, 8, 8, generator=generator) > 0.6).float()
    blocks[-1] = 0
    return {
        "pixel_values": pixels.unsqueeze(0),
        "audio_values": spectrograms.unsqueeze(0),
        "targets": F.interpolate(blocks[:, None], (side, side), mode="nearest")[:, 0],
    }


def recorded_inputs(
    recorded: dict[str, np.ndarray], seed: int, frames: int, side: int
) -> dict[str, Tensor]:
    """Generate the inputs, with the spectrograms of the file.

    The ground truth is drawn after the spectrograms, so it shows for how many channels they were
    drawn.
    """
    clip = inputs(seed, frames, side)
    if "label_strided" in recorded:
        for channels in (1, 2):
            clip = inputs(seed, frames, side, channels)
            if np.array_equal(_every_16th(clip["targets"]), recorded["label_strided"]):
                break
    if "spect" in recorded:
        clip["audio_values"] = torch.from_numpy(recorded["spect"]).float().unsqueeze(0)
    return clip


def _every_16th(values: Tensor) -> Tensor:
    """Take 16 rows and 16 columns of the last two axes."""
    step = values.shape[-1] // 16
    return values[..., ::step, ::step]


def build(encoder: str, side: int, frames: int, seed: int) -> AuralSam2Model:
    """Build the model without dropout, with the generated weights."""
    sam = PromptedSam2Config(image_size=side, **ENCODERS[encoder])
    with no_init_weights():
        model = AuralSam2Model(AuralSam2Config(sam_config=sam, window_frames=frames, dropout=0.0))
    state = model.state_dict()
    published = {
        name: published_weight(name, list(values.shape), seed)
        for name, values in AURALSAM2.to_published(state).items()
    }
    model.load_state_dict(AURALSAM2.fit(published, state).tensors)
    return model.train(mode=False)


@contextmanager
def in_float64(model: AuralSam2Model) -> Iterator[None]:
    """Convert a model to float64, and disable the casts of its layers to float32 in the block.

    transformers casts to float32 in the feature pyramid and in the rotary position code. The
    recordings have no such casts; only the position code of prompts is in float32 there.
    """
    convert, to_float = Tensor.to, Tensor.float

    def keep(values: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if values.dtype == torch.float64 and options == {"dtype": torch.float32}:
            return values
        return convert(values, *arguments, **options)

    def keep_float(values: Tensor) -> Tensor:
        return values if values.dtype == torch.float64 else to_float(values)

    model.double()
    model.sam.sam2.shared_image_embedding.float()
    changed: Any = Tensor
    changed.to, changed.float = keep, keep_float
    try:
        yield
    finally:
        changed.to, changed.float = convert, to_float


class Recorder:
    """Collects the inner tensors of one forward pass, frame by frame in the order of decoding.

    Attributes:
        frames: Name -> one tensor for each decoded frame.
        predictions: Prediction of each decoded frame.
        fused: Fused levels of the clip.
        levels: Feature pyramid from fine to coarse.
    """

    def __init__(self) -> None:
        self.frames: dict[str, list[Tensor]] = {}
        self.predictions: list[MaskPrediction] = []
        self.fused: list[FusedLevel] = []
        self.levels: list[Tensor] = []

    @contextmanager
    def watch(self, model: AuralSam2Model) -> Iterator[None]:
        """Collect tensors of the model's passes inside the block."""
        decoder: Any = model.sam.sam2.mask_decoder
        decode = model.sam.decode_masks

        def decode_and_keep(*args: Any, **options: Any) -> MaskPrediction:
            self.predictions.append(decode(*args, **options))
            return self.predictions[-1]

        vars(model.sam)["decode_masks"] = decode_and_keep
        hooks = [
            model.fuser.register_forward_hook(self._keep_fused),
            decoder.register_forward_pre_hook(self._keep_inputs, with_kwargs=True),
            decoder.transformer.layers[0].register_forward_pre_hook(
                self._keep_position, with_kwargs=True
            ),
            decoder.transformer.register_forward_hook(self._keep_tokens),
            model.memory.encoder.register_forward_hook(self._keep("memory", lambda out: out[0])),
            model.memory.pointer_projection.register_forward_hook(
                self._keep("obj_ptr_proj", lambda out: out)
            ),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            del vars(model.sam)["decode_masks"]

    def in_order(self, name: str, start: int) -> Tensor:
        """Return the tensors of all frames in the order of the clip, (T, ...)."""
        values = torch.cat(self.frames[name])
        return values[_decoding_order(len(values), start).argsort()]

    def _add(self, name: str, values: Tensor) -> None:
        self.frames.setdefault(name, []).append(values)

    def _keep(self, name: str, select: Callable[[Any], Tensor]) -> Callable[..., None]:
        return lambda _module, _inputs, outputs: self._add(name, select(outputs))

    def _keep_fused(self, _module: Any, arguments: Any, outputs: Any) -> None:
        self.levels, self.fused = list(arguments[0]), outputs

    def _keep_inputs(self, _module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        self._add("pix_feat", named["image_embeddings"])
        self._add("dense_prompt", named["dense_prompt_embeddings"][..., 0, 0])
        self._add("image_pe", named["image_positional_embeddings"])
        self._add("sparse_prompt_shape", named["sparse_prompt_embeddings"][:, 0])

    def _keep_position(self, _module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        self._add("tokens_in_after_audio", named["query_point_embedding"][:, 0])

    def _keep_tokens(self, _module: Any, _arguments: Any, outputs: Any) -> None:
        tokens, places = outputs
        side = round(places.shape[2] ** 0.5)
        self._add("tokens_out", tokens[:, 0])
        self._add("keys_out", places[:, 0].unflatten(1, (side, side)))


def _decoding_order(frames: int, start: int) -> Tensor:
    return torch.tensor([start, *(i for i in range(frames) if i != start)])


def compute(
    model: AuralSam2Model, clip: dict[str, Tensor], start: int
) -> tuple[dict[str, Tensor], list[MaskPrediction]]:
    """Run one pass; return the tensors under their recorded names, and the predictions in order.

    `start` is the frame that is decoded first: 0 in evaluation, the middle one in training.
    """
    recorder = Recorder()
    with recorder.watch(model):
        model(clip["pixel_values"], clip["audio_values"])
    order = _decoding_order(len(recorder.predictions), start).argsort().tolist()
    predictions = [recorder.predictions[i] for i in order]
    ious = torch.cat([each.iou_predictions for each in predictions])
    best = ious.sort(dim=1, descending=True).values
    logits = torch.cat([each.mask_logits for each in predictions])
    side = clip["pixel_values"].shape[-1]
    grid = recorder.levels[-1].shape[-2:]
    values = {
        "vggish": model.embed_audio(clip["audio_values"])[0],
        "low_res_logits": logits,
        "high_res_logits": F.interpolate(logits, (side, side), mode="bilinear"),
        "pred_iou": ious,
        "argmax_margin": best[:, 0] - best[:, 1],
        "object_score": torch.cat([_scores(each) for each in predictions]),
        "dense_prompt": recorder.frames["dense_prompt"][0],
        "image_pe": recorder.frames["image_pe"][0],
        "sparse_prompt_shape": torch.tensor(recorder.frames["sparse_prompt_shape"][0].shape),
    }
    for name in ("pix_feat", "tokens_in_after_audio", "tokens_out", "keys_out"):
        values[name] = recorder.in_order(name, start)
    for name in ("obj_ptr_proj", "memory"):
        values[name] = recorder.in_order(name, start)
    projected = model.fuser.project(recorder.fused)
    for i, (level, fused, unit) in enumerate(
        zip(recorder.levels, recorder.fused, projected, strict=True)
    ):
        values[f"fpn{i}"] = level
        values[f"fused{i}"] = fused.image.unflatten(1, grid)
        values[f"audio{i}"] = fused.audio
        values[f"proj_v{i}"] = unit.image.transpose(1, 2).unflatten(-1, grid)
        values[f"proj_a{i}"] = unit.audio.unsqueeze(-1)
    return values, predictions


def _scores(prediction: MaskPrediction) -> Tensor:
    if prediction.object_score_logits is None:
        raise TypeError("the prediction has no object score")
    return prediction.object_score_logits


def compare_outputs(
    table: Table, recorded: dict[str, np.ndarray], prefix: str, ours: dict[str, Tensor], start: int
) -> None:
    """Compare every recorded tensor that begins with a prefix; frames with memory apart."""
    later = _LATER_FLOAT64 if recorded["low_res_logits"].dtype == np.float64 else _LATER
    for name, values in ours.items():
        if prefix + name not in recorded:
            continue
        reference = recorded[prefix + name]
        strided = _strided(values.detach(), reference.shape)
        scale = float(np.abs(reference).max())
        if name in _UNIT_SCALE:
            scale = max(scale, 1.0)
        if name == "memory":
            # One pixel of the mask that is cut differently changes a few places by the full scale.
            _compare_share(table, prefix + name, strided, reference, _LATER * scale)
        elif name not in (*_AFTER_THE_DECODER, "pix_feat"):
            share = _NORMED if prefix else _FEATURES
            table.compare(prefix + name, strided, reference, share * scale)
        else:
            others = [i for i in range(len(reference)) if i != start]
            first = _DECODED if name in _AFTER_THE_DECODER else _FEATURES
            for frames, share in (([start], first), (others, later)):
                title = f"{prefix}{name}, {'no memory' if start in frames else 'with memory'}"
                if not frames:
                    continue
                if prefix and share != _FEATURES:
                    # The weights of the training step amplify rounding by up to 1e5: noise of 3e-6
                    # on the fused features changes logits of the small case by up to 0.2.
                    difference = np.abs(strided[frames].numpy() - reference[frames]).mean()
                    table.row(title + ", mean", float(difference), scale, _LATER * scale)
                else:
                    table.compare(title, strided[frames], reference[frames], share * scale)


def _compare_share(
    table: Table, name: str, ours: Tensor, reference: np.ndarray, tolerance: float
) -> None:
    """Compare the difference that 99 % of the values do not exceed."""
    differences = np.abs(ours.numpy() - reference)
    scale = float(np.abs(reference).max())
    table.row(
        f"{name}, 99 % of the values", float(np.quantile(differences, 0.99)), scale, tolerance
    )


def _strided(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Take every n-th element of each axis so that a tensor gets the recorded shape."""
    for axis, (have, want) in enumerate(zip(values.shape, shape, strict=True)):
        steps = [step for step in (1, 2, 4, 8, 16, 32, 64) if -(-have // step) == want]
        if not steps:
            raise ValueError(f"a tensor of {tuple(values.shape)} cannot be strided to {shape}")
        values = values[(slice(None),) * axis + (slice(None, None, steps[0]),)]
    return values


def compare_step(
    table: Table,
    recorded: dict[str, np.ndarray],
    model: AuralSam2Model,
    clip: dict[str, Tensor],
) -> None:
    """Compare one training step: tensors, losses, gradients and running statistics."""
    frames = len(clip["targets"])
    model.train()
    values, predictions = compute(model, clip, start=frames // 2)
    compare_outputs(table, recorded, "train/", values, start=frames // 2)
    options = model.config.losses
    losses = [
        frame_losses(prediction, truth.unsqueeze(0), options)
        for prediction, truth in zip(predictions, clip["targets"], strict=True)
    ]
    sums = {
        "loss_mask": sum(each.focal for each in losses),
        "loss_dice": sum(each.dice for each in losses),
        "loss_iou": sum(each.iou for each in losses),
        "loss_class": sum(each.presence for each in losses),
        "core_loss": sum(each.weighted(options) for each in losses),
    }
    for name, total in sums.items():
        if f"train/{name}" not in recorded:
            continue
        reference = recorded[f"train/{name}"]
        scale = float(np.abs(reference).max())
        table.compare(f"train/{name}", total, reference, _LOSSES * scale)
    sums["core_loss"].sum().backward()
    if "train/grad_names" in recorded:
        _compare_gradients(table, recorded, model)
    buffers = AURALSAM2.to_published(model.state_dict())
    for name in recorded:
        if name.startswith("train/buffer_after/"):
            reference = recorded[name]
            ours = buffers["aural_fuser." + name.removeprefix("train/buffer_after/")]
            scale = float(np.abs(reference).max())
            table.compare(name.removeprefix("train/"), ours, reference, _NORMED * scale)


def _compare_gradients(
    table: Table, recorded: dict[str, np.ndarray], model: AuralSam2Model
) -> None:
    """Compare which parameters have a gradient, the norms, and whole gradients of small ones."""
    gradients = AURALSAM2.to_published(
        {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    )
    names = recorded["train/grad_names"].tolist()
    norms = dict(zip(names, recorded["train/grad_norm_core"].tolist(), strict=True))
    with_gradient = {name for name, norm in norms.items() if np.isfinite(norm)}
    differing = len(with_gradient ^ gradients.keys())
    table.row("train/ parameters with a gradient: names differ", differing, 0, 0)
    if "train/no_grad_names" in recorded:
        unused = set(recorded["train/no_grad_names"].tolist()) & gradients.keys()
        table.row("train/ parameters without a gradient: names differ", len(unused), 0, 0)
    scale = max(norms[name] for name in with_gradient)
    worst = max(
        abs(gradients[name].norm().item() - norms[name])
        for name in with_gradient & gradients.keys()
    )
    table.row("train/ norms of gradients, largest difference", worst, scale, _GRADIENTS * scale)
    whole = {
        name.removeprefix("train/grad_core/"): values
        for name, values in recorded.items()
        if name.startswith("train/grad_core/")
    }
    if not whole:
        return
    scale = max(float(np.abs(values).max()) for values in whole.values())
    worst = max(
        (gradients[name] - torch.from_numpy(values).view_as(gradients[name])).abs().max().item()
        for name, values in whole.items()
    )
    table.row("train/ small gradients, largest difference", worst, scale, _GRADIENTS * scale)


def main() -> int:
    """Run the comparison and return the exit code, 0 if all is within tolerance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", choices=ENCODERS)
    parser.add_argument("--side", type=int, help="side of the frames, in pixels")
    parser.add_argument("--no-step", action="store_true", help="skip the training step")
    arguments = parser.parse_args()

    with np.load(arguments.recorded) as file:
        recorded = {name: file[name] for name in file.files}
    found = re.search(r"(hiera_[tsl])(\d*)", arguments.recorded.name)
    encoder = arguments.encoder or (found[1] if found else "hiera_l")
    # Every second pixel of logits of side 4G is recorded, and the frames have a side of 16G.
    frames, side = len(recorded["low_res_logits"]), 8 * recorded["low_res_logits"].shape[-1]
    side = arguments.side or (int(found[2]) if found and found[2] else side)
    print(f"{encoder}, {frames} frames of {side} x {side}, seed {arguments.seed}")
    start = time.process_time()
    clip = recorded_inputs(recorded, arguments.seed, frames, side)
    table = Table()
    for name, values in (
        ("frames_strided", clip["pixel_values"][0]),
        ("label_strided", clip["targets"]),
    ):
        if name in recorded:
            table.compare(f"input {name}", _every_16th(values), recorded[name], 0.0)
    model = build(encoder, side, frames, arguments.seed)
    is_double = recorded["low_res_logits"].dtype == np.float64
    if is_double:
        clip = {name: values.double() for name, values in clip.items()}
    with torch.no_grad(), in_float64(model) if is_double else nullcontext():
        values, _ = compute(model, clip, start=0)
    compare_outputs(table, recorded, "", values, start=0)
    if "train/core_loss" in recorded and not arguments.no_step:
        compare_step(table, recorded, model, clip)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.process_time() - start:.0f} CPU-s, peak memory {memory:.1f} GB")
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())
