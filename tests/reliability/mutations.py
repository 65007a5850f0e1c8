"""Mutations of the bytes of a file: damage as by bad disks, cut downloads and hostile authors."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

#: Number of bytes at the beginning and at the end in which headers and indexes are changed.
_HEADER_BYTES = 1500

#: Values that a JSON file may have in the place of any other.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 10**30, 1e308, float("nan"), 0.5, "", "x", "..", "/", "a" * 5000),
    *([], {}, [[]], [None], {"model_type": {}}, {"": 0}, [1, "x"], "\x00", "\ud800"),
)


def mutate(data: bytes, rng: Generator) -> tuple[bytes, str]:
    """Damage a file in one random way.

    Args:
        data: Contents of the file, at least 2 bytes.
        rng: Random numbers; the same state gives the same damage.

    Returns:
        The damaged contents, and a description such as "zeroed 300 bytes at 1200".
    """
    return KINDS[rng.integers(len(KINDS))](data, rng)


def mutate_json(data: bytes, rng: Generator) -> tuple[bytes, str]:
    """Replace or remove one value of a JSON file, or damage its bytes.

    Args:
        data: Contents of the file.
        rng: As for `mutate`.

    Returns:
        As for `mutate`.
    """
    if rng.integers(3) == 0:
        return mutate(data, rng)
    root = {"": json.loads(data)}
    holders = list(_holders(root))
    holder = holders[rng.integers(len(holders))]
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = keys[rng.integers(len(keys))]
    value = ODD_VALUES[rng.integers(len(ODD_VALUES))]
    if rng.integers(5) == 0 and holder is not root:
        del holder[key]
        return json.dumps(root[""]).encode(), f"removed {key!r}"
    holder[key] = value
    return json.dumps(root[""]).encode(), f"set {key!r} to {str(value)[:40]}"


def mutate_safetensors(data: bytes, rng: Generator) -> tuple[bytes, str]:
    """Change the header of a safetensors file, which stays readable, or damage any bytes.

    Args:
        data: Contents of the file.
        rng: As for `mutate`.

    Returns:
        As for `mutate`.
    """
    if rng.integers(2):
        return mutate(data, rng)
    end = 8 + int.from_bytes(data[:8], "little")
    header, description = mutate_json(data[8:end], rng)
    return len(header).to_bytes(8, "little") + header + data[end:], f"header: {description}"


def _holders(value: Any) -> Iterator[Any]:
    """Yield every mapping and list with contents in a JSON value."""
    if value and isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def _flip_bits(data: bytes, rng: Generator) -> tuple[bytes, str]:
    count = int(2 ** rng.integers(0, 8))
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits[rng.integers(len(bits), size=count)] ^= 1
    return np.packbits(bits).tobytes(), f"flipped {count} bits"


def _zero(data: bytes, rng: Generator) -> tuple[bytes, str]:
    begin, end = _part(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:], f"zeroed {end - begin} bytes at {begin}"


def _cut(data: bytes, rng: Generator) -> tuple[bytes, str]:
    end = int(rng.integers(len(data)))
    return data[:end], f"cut to {end} of {len(data)} bytes"


def _delete(data: bytes, rng: Generator) -> tuple[bytes, str]:
    begin, end = _part(data, rng)
    return data[:begin] + data[end:], f"deleted {end - begin} bytes at {begin}"


def _duplicate(data: bytes, rng: Generator) -> tuple[bytes, str]:
    begin, end = _part(data, rng)
    return data[:end] + data[begin:], f"duplicated {end - begin} bytes at {begin}"


def _swap(data: bytes, rng: Generator) -> tuple[bytes, str]:
    size = int(rng.integers(1, max(2, len(data) // 4)))
    first = int(rng.integers(max(1, len(data) - 2 * size)))
    second = int(rng.integers(first + size, max(first + size + 1, len(data) - size)))
    parts = (data[:first], data[second : second + size], data[first + size : second])
    rest = data[first : first + size] + data[second + size :]
    return b"".join(parts) + rest, f"swapped {size} bytes at {first} and {second}"


def _replace_field(data: bytes, rng: Generator) -> tuple[bytes, str]:
    """Overwrite 1 to 4 numbers of a header or an index by extreme or random values."""
    changed, places = bytearray(data), []
    for _ in range(rng.integers(1, 5)):
        size = int(rng.choice([1, 2, 4, 8]))
        near = int(rng.integers(min(_HEADER_BYTES, len(data))))
        begin = near if rng.integers(2) else max(0, len(data) - 1 - near)
        values = (bytes(size), b"\xff" * size, b"\x7f" + b"\xff" * (size - 1), rng.bytes(size))
        changed[begin : begin + size] = values[rng.integers(len(values))][: len(data) - begin]
        places.append(str(begin))
    return bytes(changed), f"replaced fields at {', '.join(places)}"


KINDS: tuple[Callable[[bytes, Generator], tuple[bytes, str]], ...] = (
    *(_flip_bits, _zero, _cut, _delete, _duplicate, _swap),
    *(_replace_field, _replace_field),  # twice, since parsers of headers have the most branches
)


def _part(data: bytes, rng: Generator) -> tuple[int, int]:
    """Choose a part of a file, most often a small one."""
    size = int(len(data) * rng.uniform(0, 0.6) ** 3) + 1
    begin = int(rng.integers(max(1, len(data) - size)))
    return begin, min(begin + size, len(data))
