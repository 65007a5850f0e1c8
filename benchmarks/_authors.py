"""The authors' AV2T-SAM, run from a clone of github.com/bok-bok/AV2T-SAM at d7cac49.

No code of it is copied here; it is imported from the clone. It needs torch, transformers and
torchscale 0.2.0 (`pip install --no-deps torchscale==0.2.0`). Its other imports are not used by what
is measured, so mock modules replace them. Downloads of weights and the initialisation (nine
minutes) are skipped. A few lines replace hydra to read SAM 2's configuration.
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
import yaml
from parity_av2t import weight
from torch import Tensor, nn
from transformers.initialization import no_init_weights

#: Modules that the clone imports and that are not used here; their submodules are included.
STAND_INS = (
    *("cv2", "einops", "fairscale", "hydra", "omegaconf", "pandas", "timm", "torchvision", "wandb"),
    *("utils.avs_dataset_m3", "utils.avs_dataset_s4"),
)


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that returns a mock module for each name in `STAND_INS`."""

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for the names in `STAND_INS` and their submodules."""
        if any(name == known or name.startswith(known + ".") for known in STAND_INS):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Create a module in which every attribute is a mock."""
        module = types.ModuleType(spec.name)
        vars(module)["__getattr__"] = _mock
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute nothing, because a mock module has no code."""


def _mock(name: str) -> MagicMock:
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock(name=name)


def prepare(clone: Path, device: torch.device) -> None:
    """Install the import hook for the clone; without a GPU, `.cuda()` returns its argument."""
    sys.meta_path.insert(0, _StandIns())
    sys.path.insert(0, str(clone))
    if device.type == "cpu":
        for kind in (Tensor, nn.Module):
            setattr(kind, "cuda", lambda self, *_: self)  # noqa: B010 - mypy minds the assignment


def build(clone: Path, seed: int | None, sam: int) -> nn.Module:
    """Build their model with product features and adapters.

    Args:
        clone: The clone, prepared.
        seed: Seed of the weights, made as in parity_av2t.py; None leaves them uninitialised.
        sam: 1 for SAM ViT-H, 2 for SAM 2 Hiera-L.

    Returns:
        The model; its trainable parameters require gradients.
    """
    with no_init_weights():
        avt_sam = importlib.import_module("model.avt_sam")
        evf_sam = importlib.import_module("model.evf_sam")
        evf_sam2 = importlib.import_module("model.evf_sam2")
        evf_config = importlib.import_module("model.configuration_evf").EvfConfig
        configs = clone / "model/segment_anything_2/sam2_configs"
        build_sam2 = sys.modules["model.segment_anything_2.sam2.build_sam"]
        vars(build_sam2)["compose"] = lambda config_name, overrides: _compose(
            configs / config_name, overrides
        )
        vars(build_sam2)["instantiate"] = lambda node, **_: _instantiate(node)
        version = "evf_sam" if sam == 1 else "evf_sam2"
        options = argparse.Namespace(
            evf_version=version, projector_type="mul", use_adapter=True, device="cpu"
        )
        config = evf_config(
            hidden_size=1024,
            out_dim=256,
            sam_scale="huge" if sam == 1 else "large",
            mm_extractor_scale="large",
        )

        def init_model(self: Any) -> tuple[None, nn.Module]:
            if sam == 1:
                return None, evf_sam.EvfSamModel(config)
            self.depth = 48
            return None, evf_sam2.EvfSam2Model(config, args=options)

        avt_sam.AVTSAM.init_model = init_model
        model: nn.Module = avt_sam.AVTSAM(options)
    if seed is not None:
        with torch.no_grad():
            for name, values in model.state_dict().items():
                values.copy_(weight(name, list(values.shape), seed))
    return model


def train_step(
    model: nn.Module, batch: dict[str, Tensor], target: Tensor, as_shipped: bool
) -> float:
    """Run one batch through their training loop, with the options that their script sets.

    Args:
        model: Their model.
        batch: From parity_av2t.py's `inputs`.
        target: Ground-truth masks, (1, T, 224, 224).
        as_shipped: False omits anomaly detection and the F-measure of the training batch.

    Returns:
        The loss; the gradients are stored in the parameters.
    """
    script = importlib.import_module("train_avs")
    if not as_shipped:
        vars(script)["Eval_Fmeasure"] = lambda *_: 0.0
    optimizer = script.AdamW(model.parameters(), lr=2e-4)
    loader = [(*batch.values(), target.unsqueeze(2), None, None)]
    device = next(model.parameters()).device
    with torch.autograd.set_detect_anomaly(as_shipped):
        measures = script.train(loader, model, optimizer, argparse.Namespace(device=device))
    loss: float = measures["train_loss"]
    return loss


def f_measure(mask_probs: Tensor, targets: Tensor) -> float:
    """Compute the F-measure of a batch with their loop over thresholds; no input is checked."""
    value: float = importlib.import_module("utility").Eval_Fmeasure(mask_probs, targets.float())
    return value


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect their prints to stderr, because stdout has the figures."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = stdout


def _compose(path: Path, overrides: list[str]) -> Any:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        node, (*parents, last) = config, key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = yaml.safe_load(value)
    return types.SimpleNamespace(model=config["model"])


def _instantiate(node: Any) -> Any:
    if isinstance(node, list):
        return [_instantiate(value) for value in node]
    if isinstance(node, str) and re.fullmatch(r"[0-9.]+e-?[0-9]+", node):
        return float(node)  # hydra reads 1e-5 as a number, YAML 1.1 as a string
    if not isinstance(node, dict):
        return node
    options = {name: _instantiate(value) for name, value in node.items()}
    target = options.pop("_target_", None)
    if target is None:
        return options
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)(**options)
