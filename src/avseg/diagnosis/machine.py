"""Checks of the machine: software, devices, memory, disk, codecs, cache, models and the Hub."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import Literal

import av
import psutil
import torch
from av.codec import Codec

from avseg.checkpoints.cache import cache_folder
from avseg.checkpoints.catalog import Listing, find_checkpoint, list_models
from avseg.checkpoints.choosing import estimate_memory
from avseg.checkpoints.known_models import PACKAGED_MODELS, describe_size
from avseg.checkpoints.resources import available_memory, existing_folder, free_space
from avseg.diagnosis.check import Check
from avseg.environment import find_commit, name_device
from avseg.errors import CheckpointError
from avseg.version import __version__

#: Decoders of the usual formats of films and their sound.
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "prores", "aac", "opus", "mp3", "flac")
#: Encoders of the overlay video.
ENCODERS = ("libx264", "aac")

_LEAST_MEMORY_BYTES, _LEAST_DISK_BYTES = 2_000_000_000, 5_000_000_000
#: Time after which the Hub counts as not reachable, in seconds.
_TIMEOUT_S = 10.0


def check_machine(*, online: bool = False) -> Iterator[Check]:
    """Check whether this machine can run avseg.

    Args:
        online: Whether to contact the Hugging Face Hub. Without it no network is used.

    Yields:
        The result of each check as soon as it is known.
    """
    yield Check("software", "ok", describe_software())
    yield from map(_check_device, _devices())
    yield _check_memory()
    yield _check_disk()
    yield _check_codecs()
    yield _check_packaged()
    yield _check_fit()
    if online:
        yield _check_hub()


def describe_software() -> str:
    """Return the versions of avseg, Python, the operating system and the libraries."""
    libraries = ("torch", "transformers", "numpy", "av")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    commit = find_commit() or "not recorded"
    python = f"Python {platform.python_version()} on {platform.platform()}"
    return f"avseg {__version__}, commit {commit}; {python}; {versions}"


def _devices() -> list[torch.device]:
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    return devices


def _check_device(device: torch.device) -> Check:
    name = f"device {device}"
    try:
        torch.ones(8, 8, device=device).sum().item()
    except RuntimeError as error:
        return Check(
            name,
            "warning",
            f"a computation fails: {error}",
            "install a PyTorch build that fits the driver, or choose --device cpu.",
        )
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        memory = f", {describe_size(free)} of {describe_size(total)} free"
        return Check(name, "ok", f"{name_device(device)}{memory}")
    if device.type == "cpu":
        return Check(name, "ok", f"cores: {psutil.cpu_count()}, threads: {torch.get_num_threads()}")
    return Check(name, "ok", "works")


def _check_memory() -> Check:
    available = available_memory()
    found = (
        f"{describe_size(available)} of {describe_size(psutil.virtual_memory().total)} available"
    )
    if available < _LEAST_MEMORY_BYTES:
        need = describe_size(_LEAST_MEMORY_BYTES)
        return Check("memory", "warning", found, f"close other programs: {need} are needed.")
    return Check("memory", "ok", found)


def _check_disk() -> Check:
    """Check that the cache folder can be written, and has space for a download."""
    folder = cache_folder()
    try:
        with TemporaryFile(dir=existing_folder(folder)):
            pass
    except OSError as error:
        return Check(
            "cache",
            "warning",
            f"{folder} cannot be written ({error.strerror})",
            "name another folder for models with the environment variable AVSEG_CACHE.",
        )
    free = free_space(folder)
    found = f"{folder}, {describe_size(free)} free"
    if free < _LEAST_DISK_BYTES:
        need = describe_size(_LEAST_DISK_BYTES)
        return Check("cache", "warning", found, f"free {need} before a model is downloaded.")
    return Check("cache", "ok", found)


def _check_codecs() -> Check:
    missing = [f"{name} (decoder)" for name in DECODERS if not _has_codec(name, "r")]
    missing += [f"{name} (encoder)" for name in ENCODERS if not _has_codec(name, "w")]
    found = f"FFmpeg {av.ffmpeg_version_info}"
    if missing:
        return Check(
            "codecs",
            "warning",
            f"{found} without {', '.join(missing)}",
            "install PyAV's wheel from PyPI, whose FFmpeg has them: pip install "
            "--force-reinstall --only-binary av av",
        )
    return Check("codecs", "ok", f"{found} with {', '.join((*DECODERS, *ENCODERS))}")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        Codec(name, mode)
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def _check_packaged() -> Check:
    try:
        for name in PACKAGED_MODELS:
            find_checkpoint(name, offline=True)
    except CheckpointError as error:
        return Check("packaged models", "error", str(error), "install avseg again.")
    return Check("packaged models", "ok", ", ".join(PACKAGED_MODELS))


def _check_fit() -> Check:
    """Estimate which models fit into the memory of the first GPU, or else of the CPU."""
    memory = available_memory()
    where = "the CPU's memory"
    if torch.cuda.is_available():
        memory, where = torch.cuda.mem_get_info(0)[0], "the first GPU's memory"
    groups: dict[str, list[str]] = {"fit": [], "too large": [], "size not known": []}
    for listing in list_models():
        if listing.masks is not None:
            groups[_fit(listing, memory)].append(listing.name)
    found = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items() if names)
    return Check("models", "ok", f"by {where}, estimated from the size of the files: {found}")


def _fit(listing: Listing, memory: int) -> str:
    need = estimate_memory(listing)
    if need is None:
        return "size not known"
    return "fit" if need <= memory else "too large"


def _check_hub() -> Check:
    """Contact the Hub, and validate the access token if there is one."""
    from huggingface_hub import HfApi, constants, get_token  # slow to import
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        return Check("Hub", "warning", "HF_HUB_OFFLINE is set", "unset it to download models.")
    begin_s = time.monotonic()
    try:
        get_session().get(f"{endpoint}/api/models?limit=1", timeout=_TIMEOUT_S).raise_for_status()
        delay_s = time.monotonic() - begin_s
        token = get_token()
        login = "no token" if token is None else f"logged in as {HfApi().whoami(token)['name']}"
    except HfHubHTTPError as error:
        return Check("Hub", "warning", f"{endpoint}: {error}", "renew the token: `hf auth login`.")
    except (HTTPError, OSError) as error:
        return Check(
            "Hub",
            "warning",
            f"{endpoint} cannot be reached ({error or type(error).__name__})",
            "check the network, or set a mirror as HF_ENDPOINT.",
        )
    return Check("Hub", "ok", f"{endpoint} answers after {delay_s:.1f} s; {login}")
