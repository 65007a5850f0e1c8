"""Rasterise the sprites of SynthAVS from the SVG drawings of Iconify's icon sets.

Run it when a category or a style is added, and commit the result. It needs `pip install resvg-py`
and the unpacked npm packages `@iconify-json/SET` (each carries its `icons.json` and `info.json`):

    npm pack @iconify-json/noto && mkdir -p icons/noto && tar xzf iconify-json-noto-*.tgz -C icons/noto
    python tools/rasterise_sprites.py icons/ src/avseg/synthavs/assets

Writes one sheet `STYLE.png` for each style (RGBA, one square cell for each drawing, cropped to its
visible pixels and centred) and `sprites.json`, which lists the drawing in each cell, the version of
the package, and its licence.
"""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image
from scipy.ndimage import binary_fill_holes

CELL = 104  # side of a cell in pixels
RENDER = 320  # side at which the SVG is drawn before it is cropped and reduced

#: Category -> names of its drawings. No style has all of them.
DRAWINGS: dict[str, tuple[str, ...]] = {
    "dog": ("dog", "dog-face", "poodle", "guide-dog", "dogside", "dog-side", "sitting-dog", "dog-fill"),
    "cat": ("cat", "cat-face", "catside", "black-cat", "cat-fill"),
    "lion": ("lion", "lion-face"),
    "horse": ("horse", "horse-face", "horseface", "horse-head", "horse-variant", "horse-fill"),
    "bird": ("bird", "bird-1", "bird-2", "black-bird", "bird-fill"),
    "rooster": ("rooster", "chicken"),
    "cow": ("cow", "cow-face", "cowface", "ox", "cow-fill", "bull"),
    "sheep": ("ewe", "ram", "sheep", "ewe-1", "ewe-2", "ram-profile"),
    "pig": ("pig", "pig-face", "pigside", "pig-variant"),
    "duck": ("duck",),
    "wolf": ("wolf", "wolf-face", "wolfface", "wolf-head"),
    "elephant": ("elephant", "elephant-head"),
    "frog": ("frog", "frog-face"),
    "car": ("automobile", "sport-utility-vehicle", "oncoming-automobile", "car", "car-side", "car-fill", "city-car"),
    "bus": ("bus", "oncoming-bus", "trolleybus", "bus-side", "bus-school", "bus-fill"),
    "motorcycle": ("motorcycle", "motor-scooter", "motorbike", "motorcycle-fill", "scooter"),
    "train": ("locomotive", "train", "metro", "steamlocomotive", "steam-locomotive", "train-variant", "train-fill"),
    "helicopter": ("helicopter",),
    "airplane": ("airplane", "small-airplane", "airplane-fill", "commercial-airplane"),
    "ambulance": ("ambulance", "ambulance-fill"),
    "tractor": ("tractor", "tractor-variant", "tractor-fill", "farm-tractor"),
    "boat": ("motor-boat", "ship", "motorboat", "speedboat", "ferry", "boat-fill", "cargo-ship", "speed-boat"),
    "guitar": ("guitar", "guitar-acoustic", "guitar-electric", "guitar-fill"),
    "piano": ("musical-keyboard", "musicalkeyboard", "piano", "piano-keys", "piano-keys-fill", "grand-piano"),
    "violin": ("violin",),
    "trumpet": ("trumpet",),
    "saxophone": ("saxophone",),
    "drum": ("drum", "long-drum"),
    "accordion": ("accordion",),
    "bell": ("bell", "bell-fill", "ringing-bell", "bell-simple-fill"),
    "telephone": ("telephone", "telephone-receiver", "telephonereceiver", "phone", "phone-fill", "rotary-phone"),
    "clock": ("alarm-clock", "alarmclock", "mantelpiece-clock", "alarm", "alarm-fill", "cuckoo-clock"),
    "gun": ("pistol", "water-pistol", "revolver", "water-gun"),
    "baby": ("baby", "baby-1", "baby-2", "baby-3", "baby-face", "baby-fill"),
    "man": ("man", "man-1", "man-2", "man-beard", "man-bald", "old-man", "old-man-1", "man-medium-dark-skin-tone",
            "man-light-skin-tone", "man-cook-1", "man-cook", "man-singer", "man-red-hair", "face-man", "man-curly-hair"),
    "woman": ("woman", "woman-1", "woman-2", "old-woman", "old-woman-1", "woman-medium-dark-skin-tone", "woman-light-skin-tone",
              "woman-cook-1", "woman-cook", "woman-singer", "woman-red-hair", "face-woman", "woman-curly-hair"),
}  # fmt: skip

#: Icon sets. Sets with one colour (INK_STYLES) are stored as ink on a filled silhouette; the scene colours them.
STYLES = (
    "noto",
    "noto-v1",
    "twemoji",
    "fluent-emoji",
    "fluent-emoji-flat",
    "fxemoji",
    "streamline-emojis",
    "emojione",
    "openmoji",
)
INK_STYLES = ("fluent-emoji-high-contrast", "mdi", "game-icons", "ph")
#: Excluded drawings: they fill their whole square, or do not show the category.
LEFT_OUT = {
    ("fxemoji", "ship"), ("fxemoji", "speedboat"), ("streamline-emojis", "ship"),
    ("openmoji", "ship"), ("openmoji", "ferry"), ("mdi", "piano"), ("mdi", "scooter"), ("ph", "scooter"),
    ("game-icons", "bull"), ("game-icons", "ram"), ("game-icons", "pig-face"), ("game-icons", "water-gun"),
}  # fmt: skip


def main(icons: Path, out: Path) -> None:
    """Write the sheets and their index.

    Args:
        icons: Folder with one unpacked npm package for each set.
        out: Folder of the sheets.
    """
    index: dict[str, Any] = {"cell": CELL, "styles": {}}
    for style in (*STYLES, *INK_STYLES):
        package = next(p for p in icons.glob("*/package") if info(p)["prefix"] == style)
        data = json.loads((package / "icons.json").read_text())
        cells = [
            (category, name, cell)
            for category, names in DRAWINGS.items()
            for name in names
            if (style, name) not in LEFT_OUT
            and (cell := draw(data, name, ink=style in INK_STYLES)) is not None
        ]
        columns = 12
        rows = -(-len(cells) // columns)
        sheet = Image.new("RGBA", (columns * CELL, rows * CELL))
        for i, (_, _, cell) in enumerate(cells):
            sheet.paste(cell, (i % columns * CELL, i // columns * CELL))
        sheet.save(out / f"{style}.png", optimize=True)
        about = info(package)
        index["styles"][style] = {
            "ink": style in INK_STYLES,
            "name": about["name"],
            "author": about["author"],
            "licence": about["license"],
            "version": re.sub(r".*-", "", package.parent.name),
            "cells": [[category, name] for category, name, _ in cells],
        }
    (out / "sprites.json").write_text(json.dumps(index, indent=1) + "\n")


def info(package: Path) -> dict[str, Any]:
    """Read the metadata of an icon set."""
    about: dict[str, Any] = json.loads((package / "info.json").read_text())
    return about


def draw(data: dict[str, Any], name: str, ink: bool) -> Image.Image | None:
    """Rasterise one drawing into a cell; return None if the set has no drawing of that name."""
    parent = data.get("aliases", {}).get(name, {}).get("parent", name)
    icon = data["icons"].get(parent)
    if icon is None:
        return None
    width, height = (icon.get(k, data.get(k, 16)) for k in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" color="#fff" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=RENDER, height=RENDER)
    pixels = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
    if ink:
        pixels = fill_silhouette(pixels)
    ys, xs = np.where(pixels[..., 3] > 24)
    pixels = pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    drawing = Image.fromarray(pixels)
    drawing.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    cell = Image.new("RGBA", (CELL, CELL))
    cell.paste(drawing, ((CELL - drawing.width) // 2, (CELL - drawing.height) // 2))
    return cell


def fill_silhouette(pixels: np.ndarray) -> np.ndarray:
    """Return ink in the colour channels (255 = ink) on the filled silhouette as alpha."""
    ink = pixels[..., 3]
    filled = np.where(binary_fill_holes(ink > 127), 255, ink).astype(np.uint8)
    return np.dstack([ink, ink, ink, filled])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
