"""Memory-mapped weights, for models that are larger than memory.

A model with gigabytes of weights uses only a few megabytes of them at a time. So its file is
memory-mapped: the operating system reads the weights of a layer from disk when the layer runs, and
never reads unused weights. After each forward or backward pass of a large frozen layer, the memory
pages of its weights are released. The results are the same as with all weights in memory.
"""

import json
import math
import mmap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: Minimum size of a released tensor; for a smaller one the memory is not worth the system call.
RELEASED_FROM_BYTES = 2**20

#: Advice to the operating system to drop pages from memory. None on systems without it, which drop
#: pages without advice if memory is short.
_MADV_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)

#: Dtypes of the file format that the models here use.
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
}


class MappedWeights:
    """Tensors of a safetensors file, mapped to memory.

    Attributes:
        tensors: The tensors by name.
        metadata: Metadata of the file's header.

    Args:
        path: The file. Nothing may write to it while its tensors are in use. It may be replaced by
            another file of the same name, since the mapping keeps the old content.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, or has a dtype that no model here uses.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            # torch needs writable memory. The map is private (copy-on-write), so a write never
            # changes the file.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        # The format of safetensors: the length of the header in 8 bytes, the header as JSON, the
        # tensors.
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
        """Register hooks that release the pages of large frozen layers after each pass.

        A released page loses all values that were written to it. So this method first copies the
        trainable weights to memory. Later, frozen layers must stay frozen, and no other weights may
        be loaded into them.

        Args:
            model: A model or a module of it, whose parameters are among these tensors.
            prefix: Prefix of the names of the module's parameters in the file.
        """
        for values in model.parameters():
            if values.requires_grad:
                values.data = values.data.clone()
        for path, module in model.named_modules():
            # Only modules without children are layers with weights of their own.
            if any(True for _ in module.children()):
                continue
            ranges = [
                self._ranges[f"{prefix}{path}.{name}"]
                for name, values in module.named_parameters(recurse=False)
                if not values.requires_grad
                and values.nbytes >= RELEASED_FROM_BYTES
                and self._is_mapped(f"{prefix}{path}.{name}", values)
            ]
            if ranges:
                release = _PageRelease(self._map, ranges)
                module.register_forward_hook(release)
                module.register_full_backward_hook(release)

    def _is_mapped(self, name: str, values: Tensor) -> bool:
        # A parameter that was copied to memory has another address than the tensor of the file.
        return name in self.tensors and values.data_ptr() == self.tensors[name].data_ptr()

    def _view(self, span: tuple[int, int], dtype_name: str, shape: list[int]) -> Tensor:
        if dtype_name not in _DTYPES:
            raise ValueError(f"it has {dtype_name} values, expected {', '.join(_DTYPES)}")
        dtype, count = _DTYPES[dtype_name], math.prod(shape)
        if span[1] - span[0] != count * dtype.itemsize:
            raise ValueError(f"{shape} {dtype_name} values do not take {span[1] - span[0]} bytes")
        # `frombuffer` rejects an empty tensor.
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=span[0]).view(shape)


class _PageRelease:
    """Hook that releases the pages of one layer's weights after a forward or backward pass.

    Args:
        mapping: The mapped file.
        ranges: First byte, and the byte after the last, of each of the layer's tensors.
    """

    def __init__(self, mapping: mmap.mmap, ranges: list[tuple[int, int]]) -> None:
        self._map = mapping
        # Only whole pages can be released. If a page also has values of another tensor, they are
        # read from the file again when that tensor is used.
        self._pages = [(start - start % mmap.PAGESIZE, end) for start, end in ranges]

    def __call__(self, *_: object) -> None:
        if _MADV_DONTNEED is None:
            return
        for start, end in self._pages:
            self._map.madvise(_MADV_DONTNEED, start, end - start)
