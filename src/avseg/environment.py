"""Description of software and hardware, stored with results so that they can be reproduced."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from avseg.version import __version__

#: Packages that can change results.
_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "numpy", "scipy", "pillow", "av")


def describe_environment(device: torch.device) -> dict[str, object]:
    """Collect versions, commit, machine and device.

    Args:
        device: Device that computes.

    Returns:
        Values that can be written as JSON, by name.
    """
    return {
        "avseg": __version__,
        "commit": find_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": platform.platform(),
        "device": name_device(device),
        "threads": torch.get_num_threads(),
    }


def name_device(device: torch.device) -> str:
    """Return the name of a device, including the model of a GPU.

    Args:
        device: The device.

    Returns:
        Name such as "cuda (NVIDIA H100 80GB HBM3)" or "cpu".
    """
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for matrix products in bfloat16.

    A processor without them converts every operand: a training step of the small EVF-SAM took 7
    times as long as in float32 on a processor with AVX2.

    Args:
        device: The device.

    Returns:
        For a CPU, whether it has such instructions; True for other devices.
    """
    if device.type != "cpu":
        return True
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # `torch.backends` has no public function for this; the compiler of torch calls the same one.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def find_commit() -> str | None:
    """Return the git commit of the running package.

    Returns:
        Hash of the commit, with "-dirty" if files of the checkout differ from it; None if the
        package does not run from its own git checkout.
    """
    # An installed package may be inside the checkout of another project, which does not track it.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    if tracked is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", *arguments],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no repository
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
