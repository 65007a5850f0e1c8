"""Weights that stay in their file until they are computed with.

A model of some gigabytes computes with a few megabytes of weights at a time. So its file is mapped
into memory: the operating system reads what a layer touches when the layer touches it, and what
nothing touches is never read. After each large frozen layer has run, forward or backward, its pages
are given back. The numbers are the file's either way.
"""

import json
import math
import mmap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: Layers with smaller weights keep them: what they hold is not worth the calls.
RELEASED_FROM_BYTES = 2**20

#: Tells the operating system to forget pages; not every one has it. Those without forget pages by
#: themselves when memory runs short.
_MADV_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
}


class MappedWeights:
    """The tensors of a safetensors file, none of them in memory yet.

    Attributes:
        tensors: By their names.
        metadata: What the file's header says besides.

    Args:
        path: The file. It must not be written to as long as a tensor is in use; replacing it does
            no harm.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, or holds a dtype that no model here has.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        start = 8 + int.from_bytes(self._map[:8], "little")
        header: dict[str, Any] = json.loads(self._map[8:start])
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._ranges = {
            name: (start + entry["data_offsets"][0], start + entry["data_offsets"][1])
            for name, entry in header.items()
        }
        if any(end > len(self._map) for _, end in self._ranges.values()):
            raise ValueError(f"{path.name} is shorter than its header says")
        self.tensors: dict[str, Tensor] = {
            name: self._view(self._ranges[name], entry["dtype"], entry["shape"])
            for name, entry in header.items()
        }

    def release_after_use(self, model: nn.Module, prefix: str = "") -> None:
        """Make large frozen layers give the pages of their weights back when they have run.

        Weights that train are copied, since what is written to them is not in the file. So frozen
        layers must stay frozen, and nothing else may be loaded into them.

        Args:
            model: A model, or a part of one, that has these tensors as its own, or some of them.
            prefix: What its names begin with in the file.
        """
        for values in model.parameters():
            if values.requires_grad:
                values.data = values.data.clone()
        for path, module in model.named_modules():
            if any(True for _ in module.children()):
                continue
            ranges = [
                self._ranges[f"{prefix}{path}.{name}"]
                for name, values in module.named_parameters(recurse=False)
                if not values.requires_grad
                and values.nbytes >= RELEASED_FROM_BYTES
                and self._holds(f"{prefix}{path}.{name}", values)
            ]
            if ranges:
                release = _PageRelease(self._map, ranges)
                module.register_forward_hook(release)
                module.register_full_backward_hook(release)

    def _holds(self, name: str, values: Tensor) -> bool:
        return name in self.tensors and values.data_ptr() == self.tensors[name].data_ptr()

    def _view(self, place: tuple[int, int], dtype_name: str, shape: list[int]) -> Tensor:
        if dtype_name not in _DTYPES:
            raise ValueError(f"it holds {dtype_name} values, expected {', '.join(_DTYPES)}")
        dtype, count = _DTYPES[dtype_name], math.prod(shape)
        if place[1] - place[0] != count * dtype.itemsize:
            raise ValueError(f"{shape} {dtype_name} values do not take {place[1] - place[0]} bytes")
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=place[0]).view(shape)


class _PageRelease:
    """A hook of a layer, forward or backward.

    Args:
        mapping: The mapped file.
        ranges: First byte and the one after the last of each of the layer's tensors.
    """

    def __init__(self, mapping: mmap.mmap, ranges: list[tuple[int, int]]) -> None:
        self._map = mapping
        # Whole pages: a neighbour's values that go too are read again when they are needed.
        self._pages = [(start - start % mmap.PAGESIZE, end) for start, end in ranges]

    def __call__(self, *_: object) -> None:
        if _MADV_DONTNEED is None:
            return
        for start, end in self._pages:
            self._map.madvise(_MADV_DONTNEED, start, end - start)
