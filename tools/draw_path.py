"""Draw the path of a video through the package as an SVG file.

python tools/draw_path.py docs/images/path.svg
"""

import sys
from pathlib import Path

#: Folder of the package, what it does, what it returns, and its shape. T frames of H x W pixels.
STAGES = (
    ("media/", "read", "clip", "frames (T, H, W, 3)\naudio (samples)"),
    ("models/", "process", "tensors", "pixel_values\naudio_values"),
    ("backbones/", "encode (frozen)", "embeddings", "of each frame and\nits audio window"),
    ("models/", "prompt and decode", "mask logits", "(T, h, w)"),
    ("export/", "write", "result folder", "masks, overlay,\nresult.json"),
)
WIDTH, HEIGHT, BOX, GAP, TOP = 1000, 168, 168, 30, 34
BLUE, INK, GREY = "#1f5f99", "#1b1f24", "#59636e"


def main(path: Path) -> None:
    """Write the drawing.

    Args:
        path: The SVG file.
    """
    parts = [_box(number, *stage) for number, stage in enumerate(STAGES)]
    parts += [_arrow(number) for number in range(1, len(STAGES))]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        "<title>The path of a video: media, processor, backbones, model, export</title>\n"
        # A background of its own, so that the drawing is legible on a dark page too.
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _left(number: int) -> int:
    return (WIDTH - len(STAGES) * BOX - (len(STAGES) - 1) * GAP) // 2 + number * (BOX + GAP)


def _box(number: int, folder: str, verb: str, result: str, shape: str) -> str:
    left, middle = _left(number), _left(number) + BOX // 2
    lines = shape.split("\n")
    shapes = [_text(middle, TOP + 74 + 19 * k, line, 13, GREY) for k, line in enumerate(lines)]
    return "\n".join(
        [
            f'<rect x="{left}" y="{TOP}" width="{BOX}" height="112" rx="8" fill="#eef4fa" '
            f'stroke="{BLUE}"/>',
            _text(middle, TOP - 11, folder, 14, BLUE, "font-family='monospace' font-weight='600'"),
            _text(middle, TOP + 24, verb, 14, GREY),
            _text(middle, TOP + 48, result, 17, INK, "font-weight='600'"),
            *shapes,
        ]
    )


def _arrow(number: int) -> str:
    end, y = _left(number) - 3, TOP + 56
    return (
        f'<path d="M{end - GAP + 6} {y} H{end - 7}" stroke="{BLUE}" stroke-width="2.5"/>'
        f'<path d="M{end - 10} {y - 6} L{end} {y} L{end - 10} {y + 6} Z" fill="{BLUE}"/>'
    )


def _text(x: int, y: int, text: str, size: int, colour: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle" font-size="{size}" fill="{colour}" {more}>{text}</text>'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
