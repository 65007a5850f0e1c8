"""Rasterise the sprites of SynthAVS from the SVG drawings of Iconify's icon sets.

Run it when a category or a style is added, and commit the result. It needs `pip install resvg-py`
and the unpacked npm packages `@iconify-json/SET` (each carries its `icons.json` and `info.json`):

    npm pack @iconify-json/noto && mkdir -p icons/noto && tar xzf iconify-json-noto-*.tgz -C icons/noto
    python tools/rasterise_sprites.py icons/ src/avseg/synthavs/assets [STYLE ...]

Without a STYLE, all are made. A new style is made alone, so that the sheets of the others, and with
them the clips of earlier versions of SynthAVS, keep their bytes. The style "fluent-emoji-3d" consists
of pictures, not of SVG: `npm pack @lobehub/fluent-emoji-3d`, unpacked into `icons/fluent-emoji-3d-VERSION`.

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
INK_STYLES = ("fluent-emoji-high-contrast", "mdi", "game-icons", "ph", "fa6-solid")

#: Style whose drawings are pictures that are named by code points, and its origin.
PICTURES = "fluent-emoji-3d"
PICTURES_INFO = {
    "name": "Fluent Emoji 3D",
    "author": {
        "name": "Microsoft Corporation",
        "url": "https://github.com/microsoft/fluentui-emoji",
    },
    "license": {
        "title": "MIT",
        "spdx": "MIT",
        "url": "https://github.com/microsoft/fluentui-emoji/blob/main/LICENSE",
    },
}

#: Category -> code points of its pictures.
CODE_POINTS: dict[str, tuple[str, ...]] = {
    "dog": ("1f415", "1f436", "1f429", "1f9ae"),
    "cat": ("1f408", "1f431", "1f408-200d-2b1b"),
    "lion": ("1f981",),
    "horse": ("1f40e", "1f434"),
    "bird": ("1f426", "1f426-200d-2b1b"),
    "rooster": ("1f413", "1f414"),
    "cow": ("1f404", "1f42e", "1f402"),
    "sheep": ("1f411", "1f40f"),
    "pig": ("1f416", "1f437"),
    "duck": ("1f986",),
    "wolf": ("1f43a",),
    "elephant": ("1f418",),
    "frog": ("1f438",),
    "car": ("1f697", "1f699", "1f698"),
    "bus": ("1f68c", "1f68d", "1f68e"),
    "motorcycle": ("1f3cd-fe0f", "1f6f5"),
    "train": ("1f682", "1f686"),
    "helicopter": ("1f681",),
    "airplane": ("2708-fe0f", "1f6e9-fe0f"),
    "ambulance": ("1f691",),
    "tractor": ("1f69c",),
    "boat": ("1f6e5-fe0f", "1f6a2", "1f6a4", "26f4-fe0f"),
    "guitar": ("1f3b8",),
    "piano": ("1f3b9",),
    "violin": ("1f3bb",),
    "trumpet": ("1f3ba",),
    "saxophone": ("1f3b7",),
    "drum": ("1f941", "1fa98"),
    "accordion": ("1fa97",),
    "bell": ("1f514",),
    "telephone": ("260e-fe0f", "1f4de"),
    "clock": ("23f0", "1f570-fe0f"),
    "gun": ("1f52b",),
    "baby": ("1f476", "1f476-1f3fb", "1f476-1f3fe"),
    "man": ("1f468", "1f468-1f3fb", "1f468-1f3fe", "1f474", "1f468-200d-1f373", "1f468-200d-1f3a4",
            "1f468-200d-1f9b0", "1f468-200d-1f9b1", "1f468-200d-1f9b2"),
    "woman": ("1f469", "1f469-1f3fb", "1f469-1f3fe", "1f475", "1f469-200d-1f373", "1f469-200d-1f3a4",
              "1f469-200d-1f9b0", "1f469-200d-1f9b1"),
}  # fmt: skip
#: Style -> category -> further drawings, whose names show something else in other styles.
FURTHER: dict[str, dict[str, tuple[str, ...]]] = {
    "fa6-solid": {
        "bird": ("dove", "crow"),
        "airplane": ("plane", "plane-up"),
        "ambulance": ("truck-medical",),
        "gun": ("gun",),
    },
}

#: Excluded drawings: they fill their whole square, or do not show the category.
LEFT_OUT = {
    ("fxemoji", "ship"), ("fxemoji", "speedboat"), ("streamline-emojis", "ship"),
    ("openmoji", "ship"), ("openmoji", "ferry"), ("mdi", "piano"), ("mdi", "scooter"), ("ph", "scooter"),
    ("game-icons", "bull"), ("game-icons", "ram"), ("game-icons", "pig-face"), ("game-icons", "water-gun"),
}  # fmt: skip


def main(icons: Path, out: Path, styles: tuple[str, ...]) -> None:
    """Write the sheets of some styles, and their entries of the index.

    Args:
        icons: Folder with one unpacked npm package for each set.
        out: Folder of the sheets.
        styles: Styles to make; all other entries of the index are kept.
    """
    path = out / "sprites.json"
    index: dict[str, Any] = {"cell": CELL, "styles": {}}
    if path.exists():
        index = json.loads(path.read_text())
    for style in styles:
        if style == PICTURES:
            package = next(icons.glob(f"{PICTURES}-*/package"))
            about, cells = PICTURES_INFO, picture_cells(package)
        else:
            package = next(p for p in icons.glob("*/package") if info(p)["prefix"] == style)
            about, cells = info(package), svg_cells(package, style)
        columns = 12
        rows = -(-len(cells) // columns)
        sheet = Image.new("RGBA", (columns * CELL, rows * CELL))
        for i, (_, _, cell) in enumerate(cells):
            sheet.paste(cell, (i % columns * CELL, i // columns * CELL))
        sheet.save(out / f"{style}.png", optimize=True)
        index["styles"][style] = {
            "ink": style in INK_STYLES,
            "name": about["name"],
            "author": about["author"],
            "licence": about["license"],
            "version": re.sub(r".*-", "", package.parent.name),
            "cells": [[category, name] for category, name, _ in cells],
        }
    path.write_text(json.dumps(index, indent=1) + "\n")


def svg_cells(package: Path, style: str) -> list[tuple[str, str, Image.Image]]:
    """Rasterise the drawings of an SVG style: category, name and cell of each."""
    data = json.loads((package / "icons.json").read_text())
    return [
        (category, name, cell)
        for category, names in DRAWINGS.items()
        for name in (*names, *FURTHER.get(style, {}).get(category, ()))
        if (style, name) not in LEFT_OUT
        and (cell := draw(data, name, ink=style in INK_STYLES)) is not None
    ]


def picture_cells(package: Path) -> list[tuple[str, str, Image.Image]]:
    """Reduce the pictures of `PICTURES` to cells: category, code point and cell of each."""
    return [
        (category, point, fit(np.asarray(Image.open(path).convert("RGBA"))))
        for category, points in CODE_POINTS.items()
        for point in points
        if (path := package / "assets" / f"{point}.webp").exists()
    ]


def info(package: Path) -> dict[str, Any]:
    """Read the metadata of an icon set; a package of pictures has none."""
    path = package / "info.json"
    about: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"prefix": None}
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
    return fit(fill_silhouette(pixels) if ink else pixels)


def fit(pixels: np.ndarray) -> Image.Image:
    """Crop a drawing to its visible pixels, and centre it in a cell."""
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
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        tuple(sys.argv[3:]) or (*STYLES, PICTURES, *INK_STYLES),
    )
