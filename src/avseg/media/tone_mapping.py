"""Conversion of HDR and wide-gamut frames to SDR: BT.709 R'G'B' of 8 bits.

HLG and PQ (ITU-R BT.2100) become light in cd/m2 as a display of 1000 cd/m2 shows it. The light is
converted to BT.709 primaries, compressed to the range of an SDR display by the curve of ITU-R
BT.2390 (5.4.1), and stored with the gamma of ITU-R BT.1886. The curve is applied to the largest
channel of each pixel and scales all three alike, so that hues stay. Reference white is at 203 cd/m2
(ITU-R BT.2408), which is the peak of the SDR display too.

H and W are the height and width of a frame, N the number of pixels of some of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation

from avseg.media.colour import HLG, PQ, ColourTags

Floats = npt.NDArray[np.float32]

#: Scaling with exact rounding and chroma at full resolution.
ACCURATE = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

#: Luminance of reference white, and of the SDR display's peak, in cd/m2.
REFERENCE_WHITE = 203.0
#: Peak luminance of the display that HDR is made for, in cd/m2, unless the file states another.
HDR_PEAK = 1000.0
#: Largest luminance that PQ can store, in cd/m2.
PQ_PEAK = 10000.0
#: Exponent of the OOTF of HLG on a display of 1000 cd/m2.
HLG_GAMMA = 1.2
#: Exponent of an SDR display (ITU-R BT.1886).
SDR_GAMMA = 2.4

#: Chromaticities (x, y) of red, green, blue, and of the white D65.
_PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_WHITE = (0.3127, 0.3290)

#: Weights of linear R, G and B of BT.2020 in the luminance.
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
#: Entries of the tables whose argument is the square root of light.
_STEPS = 1 << 14
#: Bits of a stored value before the conversion.
_BITS = 12
#: Rows that are converted at once, so that all intermediate values stay in the cache.
_ROWS = 16


def needs_mapping(tags: ColourTags) -> bool:
    """Return whether a frame is HDR, or has primaries of a wider gamut than BT.709.

    Args:
        tags: Colour description of the frame.

    Returns:
        True for HLG and PQ, and for BT.2020 and Display P3 primaries.
    """
    return tags.hdr or _gamut(tags) != "bt709"


def to_sdr(frame: VideoFrame, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Convert an HDR or wide-gamut frame to SDR.

    Args:
        frame: Frame as decoded, for which `needs_mapping` is true.
        height: Stored height to resize to, in pixels.
        width: Stored width to resize to, in pixels.

    Returns:
        Stored image, (H, W, 3) uint8 R'G'B' (BT.709) in [0, 255].
    """
    tags = ColourTags.of(frame)
    # HDR without a matrix, or with one that FFmpeg's scaler refuses, is read as BT.2020.
    plain = tags.matrix in ("gbr", "bt709", "bt470bg", "smpte170m", "bt2020nc")
    matrix = None if plain else Colorspace.BT2020
    planes = frame.reformat(width, height, f"gbrp{_BITS}le", matrix, matrix, ACCURATE)
    green, blue, red = (_values(planes, index, width) for index in range(3))
    tables = _tables(tags.transfer if tags.hdr else None, _gamut(tags), _peak(frame, tags))
    image = np.empty((height, width, 3), np.uint8)
    for begin in range(0, height, _ROWS):
        rows = slice(begin, begin + _ROWS)
        stored = np.stack([red[rows].ravel(), green[rows].ravel(), blue[rows].ravel()])
        image[rows] = tables.convert(stored).T.reshape(-1, width, 3)
    return image


@dataclass(frozen=True)
class _Tables:
    """Tables of one kind of video.

    Attributes:
        light: Light of each stored value, (2 ** _BITS,); scene light in [0, 1] for HLG, else light
            of the display in units of `peak`.
        matrix: Converts linear R, G, B to BT.709, (3, 3).
        ootf: Factor from scene to display light at each luminance, (_STEPS,); None if `light` is
            that of the display.
        gain: Factor of the tone curve, from light to light in units of reference white, at each
            value of the largest channel, (_STEPS,).
        gamma: Stored value of each light in units of reference white, (_STEPS,) uint8.
    """

    light: Floats
    matrix: Floats
    ootf: Floats | None
    gain: Floats
    gamma: npt.NDArray[np.uint8]

    def convert(self, stored: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """Convert stored R', G', B', (3, N), to SDR, (3, N)."""
        light = self.light.take(stored)
        mapped = self.matrix @ light
        if self.ootf is not None:
            luminance = _LUMINANCE @ light
            mapped *= self.ootf.take(_index(luminance))
        mapped *= self.gain.take(_index(mapped.max(axis=0)))
        return self.gamma.take(_index(mapped))


def _index(light: Floats) -> npt.NDArray[np.intp]:
    """Return the table entries of light in [0, 1]; values outside of it are clipped."""
    roots: Floats = np.sqrt(light.clip(0, 1))
    entries: npt.NDArray[np.intp] = (roots * (_STEPS - 1) + 0.5).astype(np.intp)
    return entries


@lru_cache(maxsize=8)
def _tables(transfer: str | None, gamut: str, peak: float) -> _Tables:
    """Compute the tables of a transfer function, a gamut and a peak luminance in cd/m2."""
    stored = np.linspace(0, 1, 1 << _BITS)
    steps = np.linspace(0, 1, _STEPS) ** 2
    if transfer == HLG:
        light = _hlg_scene_light(stored)
    elif transfer == PQ:
        light = _pq_luminance(stored) / peak
    else:
        light = stored**SDR_GAMMA
    # A channel of a saturated colour can be larger in BT.709 than the peak; the table ends there.
    gain = _tone_curve(steps * peak, peak) / REFERENCE_WHITE / np.maximum(steps, 1e-12)
    gain[0] = gain[1]
    return _Tables(
        light=light.astype(np.float32),
        matrix=_to_bt709(gamut).astype(np.float32),
        ootf=(steps ** (HLG_GAMMA - 1)).astype(np.float32) if transfer == HLG else None,
        gain=gain.astype(np.float32),
        gamma=np.rint(255 * steps ** (1 / SDR_GAMMA)).astype(np.uint8),
    )


def _hlg_scene_light(stored: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply the inverse OETF of HLG (ITU-R BT.2100), [0, 1] to [0, 1]."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - c) / a) + b) / 12)


# Constants of PQ (ITU-R BT.2100).
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_luminance(stored: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply the EOTF of PQ (ITU-R BT.2100), [0, 1] to cd/m2."""
    power = stored ** (1 / _M2)
    base = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return PQ_PEAK * base ** (1 / _M1)


def _pq_stored(luminance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply the inverse EOTF of PQ (ITU-R BT.2100), cd/m2 to [0, 1]."""
    power = (luminance / PQ_PEAK) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _tone_curve(luminance: npt.NDArray[np.float64], peak: float) -> npt.NDArray[np.float64]:
    """Compress luminance in [0, peak] to [0, REFERENCE_WHITE] by the EETF of ITU-R BT.2390.

    Dark and middle tones stay as they are; above the knee a cubic spline, in PQ values, leads to
    the peak of the SDR display.
    """
    if peak <= REFERENCE_WHITE:
        return luminance
    white, full = _pq_stored(np.array([REFERENCE_WHITE, peak]))
    end = white / full
    knee = 1.5 * end - 0.5
    value = _pq_stored(luminance) / full
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * end
    )
    return _pq_luminance(np.where(value < knee, value, spline) * full)


def _to_bt709(gamut: str) -> npt.NDArray[np.float64]:
    """Return the matrix from linear R, G, B of some primaries to those of BT.709, (3, 3)."""
    return np.linalg.inv(_to_xyz("bt709")) @ _to_xyz(gamut)


def _to_xyz(gamut: str) -> npt.NDArray[np.float64]:
    """Return the matrix from linear R, G, B to CIE XYZ, (3, 3), whose white is D65 of Y = 1."""
    columns = [(x / y, 1, (1 - x - y) / y) for x, y in (*_PRIMARIES[gamut], _WHITE)]
    *primaries, white = np.array(columns)
    matrix = np.stack(primaries, axis=1)
    scaled: npt.NDArray[np.float64] = matrix * np.linalg.solve(matrix, white)
    return scaled


def _gamut(tags: ColourTags) -> str:
    """Return the primaries to convert from; HDR without a description has those of BT.2020."""
    if tags.primaries in _PRIMARIES:
        return tags.primaries
    undescribed = tags.primaries is None and (tags.hdr or tags.matrix in ("bt2020nc", "bt2020c"))
    return "bt2020" if undescribed else "bt709"


def _peak(frame: VideoFrame, tags: ColourTags) -> float:
    """Return the peak luminance of a frame, in cd/m2.

    HLG is shown on a display of 1000 cd/m2. For PQ it is the largest luminance of the content
    (MaxCLL), else that of the display on which it was made, else 1000 cd/m2.
    """
    if not tags.hdr:
        return REFERENCE_WHITE
    if tags.transfer == HLG:
        return HDR_PEAK
    # Not `frame.side_data`, which keeps the image in memory; see `Orientation.of`.
    side_data = cast("Any", SideDataContainer)(frame)
    content = side_data.get("CONTENT_LIGHT_LEVEL")
    if content is not None and (largest := int(np.frombuffer(bytes(content), np.uint32)[0])):
        return float(np.clip(largest, REFERENCE_WHITE, PQ_PEAK))
    display = side_data.get("MASTERING_DISPLAY_METADATA")
    if display is not None:
        # 3 primaries, white, smallest and largest luminance, as fractions of two integers each.
        numerator, denominator = np.frombuffer(bytes(display), np.int32)[18:20].tolist()
        if numerator > 0 and denominator > 0:
            return float(np.clip(numerator / denominator, REFERENCE_WHITE, PQ_PEAK))
    return HDR_PEAK


def _values(planes: VideoFrame, index: int, width: int) -> npt.NDArray[np.uint16]:
    """Return the values of a plane, (H, W)."""
    plane = planes.planes[index]
    # Planes support the buffer protocol, but PyAV's type stubs do not declare it.
    memory = np.frombuffer(cast("memoryview", plane), np.uint16)
    return memory.reshape(plane.height, plane.line_size // 2)[:, :width]
