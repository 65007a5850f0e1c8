"""Measurements shared by the benchmarks: time and memory of a call, and matrix product speed."""

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
    """Time and memory of a call.

    Args:
        cpu_s: Processor time of all threads, in seconds.
        wall_s: Elapsed time, in seconds.
        peak_gb: Peak of resident memory, or of allocated GPU memory on a GPU, in 1e9 bytes.
    """

    cpu_s: float
    wall_s: float
    peak_gb: float


def measure(call: Callable[[], Any], device: torch.device | str) -> tuple[Cost, Any]:
    """Run a function once and measure its cost.

    Args:
        call: The function.
        device: Device of its tensors; on a GPU it is run once before to warm up.

    Returns:
        The cost, and the function's result.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        call()  # warm-up: selects kernels and fills the memory pool
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets the peak, VmHWM
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    if on_gpu:
        torch.cuda.synchronize()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = torch.cuda.max_memory_allocated() if on_gpu else _peak_resident_bytes()
    return Cost(round(cpu, 4), round(wall, 4), round(peak / 1e9, 3)), result


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the speed of a product of square matrices, of side 2048, or 4096 on a GPU.

    Args:
        device: Device of the matrices.
        dtype: Precision of the matrices.

    Returns:
        Floating-point operations per second: of elapsed time on a GPU, else of processor time.
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
    """Count floating-point operations on the meta device, without computing any.

    Yields:
        The counter.
    """
    # Autocast does not support the meta device; the models only use it to switch it off.
    no_autocast = mock.patch("torch.autocast", lambda *_, **__: nullcontext())
    with no_autocast, FlopCounterMode(display=False) as counter:
        yield counter


def _peak_resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])
