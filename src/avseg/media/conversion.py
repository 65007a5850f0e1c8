"""Conversion of decoded frames to the two formats that are used: R'G'B' and Y'CbCr of 8 bits.

H and W are the height and width of a stored frame, before it is turned upright.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

from avseg.media.colour import HLG, MATRICES, ColourTags, has_alpha
from avseg.media.tone_mapping import ACCURATE, needs_mapping, to_sdr

#: Description of frames that are converted to Y'CbCr from another kind of colour.
SDR = ColourTags(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")


#: Matrices that FFmpeg's scaler can invert; None is read as BT.601.
_SUPPORTED = (None, "gbr", "bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc")


def stored_rgb(frame: VideoFrame, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Convert a frame to R'G'B' of 8 bits.

    Args:
        frame: Frame as decoded.
        height: Stored height to resize to, in pixels.
        width: Stored width to resize to, in pixels.

    Returns:
        Stored image, (H, W, 3) uint8 RGB in [0, 255].
    """
    tags = ColourTags.of(frame)
    if needs_mapping(tags):
        return to_sdr(frame, height, width)
    matrix = _replacement(frame)
    # FFmpeg's default is fast, but off by up to 4 of 255 for more than 8 bits.
    deep = max(component.bits for component in frame.format.components) > 8
    interpolation = ACCURATE if deep else Interpolation.BILINEAR
    rgb = frame.reformat(width, height, "rgb24", matrix, matrix, interpolation)
    return cast("npt.NDArray[np.uint8]", rgb.to_ndarray())


def stored_i420(frame: VideoFrame, height: int, width: int) -> VideoFrame:
    """Convert a frame to Y'CbCr of 8 bits, limited range and chroma at half the height and width.

    Args:
        frame: Frame as decoded.
        height: Stored height to resize to, in pixels.
        width: Stored width to resize to, in pixels.

    Returns:
        Stored frame in the format yuv420p, with the description of `i420_tags`.
    """
    tags = ColourTags.of(frame)
    matrix, full = _replacement(frame), tags.range == "pc"
    source, target = matrix, matrix
    if needs_mapping(tags):
        frame = VideoFrame.from_ndarray(to_sdr(frame, height, width), format="rgb24")
    if frame.format.name == "rgb24" or _stores_rgb(frame.format, tags):
        source, target, full = None, Colorspace.ITU709, True
    return frame.reformat(
        *(width, height, "yuv420p", source, target, ACCURATE),
        dst_color_range=ColorRange.MPEG if full else None,
    )


def i420_tags(tags: ColourTags, pixel_format: str) -> ColourTags:
    """Return the colour description of frames that `stored_i420` converts.

    Args:
        tags: Colour description of the decoded frames.
        pixel_format: FFmpeg's name of their pixel format.

    Returns:
        BT.709 for HDR, wide gamuts and R'G'B', else the description of the decoded frames, with the
        limited range.
    """
    if needs_mapping(tags):
        return SDR
    if _stores_rgb(VideoFormat(pixel_format), tags):
        return ColourTags(
            tags.primaries or SDR.primaries, tags.transfer or SDR.transfer, SDR.matrix, SDR.range
        )
    return replace(tags, range=SDR.range)


def conversion_notes(stream: VideoStream, frame: VideoFrame) -> list[str]:
    """Describe what the conversion of the frames of a stream changes or leaves out.

    Args:
        stream: The stream.
        frame: Decoded frame of it.

    Returns:
        A sentence for each change.
    """
    tags, notes = ColourTags.of(frame), []
    if tags.hdr:
        kind = "HLG" if tags.transfer == HLG else "PQ"
        notes.append(f"HDR ({kind}) is tone-mapped to SDR (BT.709), in the overlay too.")
    elif needs_mapping(tags):
        notes.append("colours of a wide gamut are converted to BT.709, in the overlay too.")
    if tags.matrix not in _SUPPORTED:
        notes.append(f"the colour matrix {tags.matrix} cannot be inverted; colours are wrong.")
    if has_alpha(stream, frame):
        notes.append(
            "the alpha channel is ignored: transparent pixels have the colours stored for them."
        )
    return notes


def _stores_rgb(pixel_format: VideoFormat, tags: ColourTags) -> bool:
    """Return whether frames store R'G'B' or a palette of it instead of Y'CbCr."""
    return pixel_format.is_rgb or pixel_format.has_palette or tags.matrix == "gbr"


def _replacement(frame: VideoFrame) -> Colorspace | None:
    """Return the matrix to use instead of one that FFmpeg's scaler refuses, else None."""
    known = frame.colorspace in (2, *MATRICES)
    supported = known and ColourTags.of(frame).matrix in _SUPPORTED
    return None if supported else Colorspace.ITU601
