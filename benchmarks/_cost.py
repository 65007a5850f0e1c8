"""What the benchmarks measure alike: time and memory of a call, and how fast matrices multiply."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Args:
        cpu_s: Processor time of all threads, in seconds.
        wall_s: Time on the clock, in seconds.
        peak_gb: Peak of resident memory, of the GPU's if there is one, in 1e9 bytes.
    """

    cpu_s: float
    wall_s: float
    peak_gb: float


def measure(call: Callable[[], Any], device: torch.device | str) -> tuple[Cost, Any]:
    """Run something once and take its cost.

    Args:
        call: What to run.
        device: Where it runs; on a GPU it runs once before.

    Returns:
        The cost, and what it returned.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        call()  # kernels are chosen and memory is found
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    if on_gpu:
        torch.cuda.synchronize()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = torch.cuda.max_memory_allocated() if on_gpu else _peak_resident_bytes()
    return Cost(round(cpu, 4), round(wall, 4), round(peak / 1e9, 3)), result


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure at how many operations per second matrices of side 2048 (4096 on a GPU) multiply.

    Args:
        device: Where.
        dtype: Of the matrices.

    Returns:
        Operations per second on the GPU, or per second of processor time.
    """
    on_gpu = device.type == "cuda"
    side = 4096 if on_gpu else 2048
    a = torch.randn(side, side, dtype=dtype, device=device)
    repeats = 10
    a @ a
    product, _ = measure(lambda: [a @ a for _ in range(repeats)], device)
    return 2 * side**3 * repeats / (product.wall_s if on_gpu else product.cpu_s)


@contextmanager
def counted_without_values() -> Iterator[FlopCounterMode]:
    """Count the operations of models on the meta device, where nothing is computed.

    Yields:
        The counter.
    """
    # Autocast knows no such tensors; here models only ever switch it off.
    no_autocast = mock.patch("torch.autocast", lambda *_, **__: nullcontext())
    with no_autocast, FlopCounterMode(display=False) as counter:
        yield counter


def _peak_resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])
