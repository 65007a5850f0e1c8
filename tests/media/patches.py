"""Test videos of 16 flat patches of known colour, in any pixel format and colour description.

The stored values are computed here by the formulas of ITU-R BT.601, BT.709 and BT.2020, not by the
scaler that the package uses.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

Colours = npt.NDArray[np.float64]

#: R', G', B' of the patches in [0, 255], (16, 3): the corners of the cube, greys, mixed colours.
COLOURS = np.array(
    [
        *([r, g, b] for r in (20, 230) for g in (20, 230) for b in (20, 230)),
        *([grey] * 3 for grey in (16, 60, 128, 200, 250)),
        *([180, 120, 60], [60, 120, 180], [120, 180, 60]),
    ],
    np.float64,
)
#: Height and width of a frame, and of a patch, in pixels.
SIZE, PATCH = 128, 32
#: Weights of red and blue in the luma, by the number of the matrix.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
WEIGHTS |= {2: WEIGHTS[6], 9: (0.2627, 0.0593)}  # 2 is "not described", read as BT.601
#: Steps along the columns and rows between two chroma values.
SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "libx264rgb": {"qp": "0", "preset": "ultrafast"},
    "libx265": {"x265-params": "lossless=1:bframes=0:frame-threads=1:log-level=none"},
    "libvpx-vp9": {"lossless": "1"},
    "prores_ks": {"profile": "3"},
}


def means(image: npt.NDArray[Any]) -> Colours:
    """Return the mean colour in the middle of each patch, (16, 3)."""
    cells = image.astype(np.float64).reshape(4, PATCH, 4, PATCH, 3)
    middle = slice(PATCH // 4, -PATCH // 4)
    return cast("Colours", cells[:, middle, :, middle].mean((1, 3)).reshape(16, 3))


def patches(
    pixel_format: str, matrix: int = 2, full: bool = False, colours: Colours = COLOURS
) -> av.VideoFrame:
    """Draw the patches in a pixel format (planar Y'CbCr, grey or R'G'B', or packed R'G'B')."""
    image = np.kron(colours.reshape(4, 4, 3), np.ones((PATCH, PATCH, 1)))
    if not pixel_format.startswith(("yuv", "gray", "gbr")):
        rgb = av.VideoFrame.from_ndarray(image.round().astype(np.uint8), format="rgb24")
        return rgb if pixel_format == "rgb24" else rgb.reformat(format=pixel_format)
    frame = av.VideoFrame(SIZE, SIZE, pixel_format)
    depth = re.search(r"(?:p|gray)(\d\d)le", pixel_format)
    bits = int(depth[1]) if depth else 8
    dtype = np.uint8 if bits == 8 else np.uint16
    for plane, values in zip(
        frame.planes, _planes(pixel_format, image / 255, matrix, full, bits), strict=True
    ):
        memory = np.frombuffer(cast("memoryview", plane), dtype).reshape(plane.height, -1)
        memory[:, : values.shape[1]] = values.round()
    return frame


def _planes(
    pixel_format: str, rgb: Colours, matrix: int, full: bool, bits: int
) -> list[npt.NDArray[np.float64]]:
    """Return the values of each plane."""
    top, opaque = 2**bits - 1, np.full((SIZE, SIZE), 2**bits - 1.0)
    if pixel_format.startswith("gbr"):
        return [rgb[..., channel] * top for channel in (1, 2, 0)]
    if pixel_format.startswith("gray"):
        return [rgb.mean(-1) * top]
    red, blue = WEIGHTS[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    differences = [(rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    unit = 2 ** (bits - 8)
    across, down = SUBSAMPLING[re.search(r"\d{3}", pixel_format)[0]]  # type: ignore[index]
    if full or "j" in pixel_format:
        planes = [luma * top, *(128 * unit + top * difference for difference in differences)]
    else:
        planes = [
            (16 + 219 * luma) * unit,
            *((128 + 224 * difference) * unit for difference in differences),
        ]
    chroma = [plane[::down, ::across] for plane in planes[1:]]
    return [planes[0], *chroma, *([opaque] if "a" in pixel_format else [])]


def write_patches(
    path: Path,
    codec: str,
    pixel_format: str,
    tags: tuple[int, int, int, int] = (2, 2, 2, 0),
    colours: Colours = COLOURS,
) -> Path:
    """Write two frames of the patches, with numbers of primaries, transfer, matrix and range."""
    frame = patches(pixel_format, tags[2] if tags[2] in WEIGHTS else 2, tags[3] == 2, colours)
    frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = tags
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=LOSSLESS.get(codec, {}))
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = SIZE
        stream.pix_fmt = pixel_format
        encoder = stream.codec_context
        (encoder.color_primaries, encoder.color_trc, encoder.colorspace, encoder.color_range) = tags
        for index in range(2):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first_frame(path: Path) -> av.VideoFrame:
    """Decode the first frame of a video."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0))
