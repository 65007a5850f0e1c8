"""HDR and wide gamuts become SDR, close to what FFmpeg makes of them."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc

from avseg.media.colour import ColourTags
from avseg.media.conversion import stored_i420, stored_rgb
from avseg.media.tone_mapping import needs_mapping, to_sdr
from tests.media.patches import SIZE, Colours, first_frame, means, patches

PQ, HLG = 16, 18

#: Stored values of 16 patches in BT.2020: 8 greys from dark to bright, and 8 mild colours.
STORED = np.array(
    [
        *([grey] * 3 for grey in (0.1, 0.25, 0.38, 0.5, 0.58, 0.65, 0.75, 0.9)),
        *([0.5, 0.4, 0.35], [0.4, 0.5, 0.38], [0.38, 0.42, 0.55], [0.55, 0.53, 0.4]),
        *([0.65, 0.55, 0.5], [0.45, 0.6, 0.6], [0.6, 0.5, 0.6], [0.3, 0.34, 0.3]),
    ]
)
#: For PQ they are this much darker.
PQ_SCALE = 0.9

#: What FFmpeg 5.1.9 makes of them: zscale=t=linear:npl=203, format=gbrpf32le, zscale=p=bt709,
#: tonemap=mobius:desat=0:peak=4.926 (1000 cd/m2), zscale=t=bt709:m=gbr:r=pc, format=gbrp.
MOBIUS = {
    HLG: [
        *([29] * 3, [72] * 3, [109] * 3, [143] * 3, [168] * 3, [190] * 3, [217] * 3, [245] * 3),
        *([159, 110, 97], [93, 146, 105], [95, 121, 162], [165, 151, 108]),
        *([202, 139, 128], [70, 178, 174], [186, 133, 173], [79, 99, 85]),
    ],
    PQ: [
        *([16] * 3, [47] * 3, [90] * 3, [148] * 3, [191] * 3, [218] * 3, [243] * 3, [255] * 3),
        *([171, 89, 74], [28, 153, 81], [60, 105, 181], [184, 160, 81]),
        *([230, 128, 110], [0, 204, 198], [213, 118, 193], [51, 77, 60]),
    ],
}


def hdr(
    stored: Colours, transfer: int, pixel_format: str = "yuv420p10le", primaries: int = 9
) -> av.VideoFrame:
    """Draw patches of stored values in [0, 1] as an HDR frame."""
    frame = patches(pixel_format, 9, colours=stored * 255)
    frame.color_primaries, frame.color_trc = primaries, transfer
    frame.colorspace, frame.color_range = 9, 1
    return frame


def levels(transfer: int) -> Colours:
    return STORED * (PQ_SCALE if transfer == PQ else 1)


def sdr(frame: av.VideoFrame) -> Colours:
    return means(to_sdr(frame, SIZE, SIZE))


def greys(*stored: float) -> Colours:
    """Return 16 patches of grey; the last value is repeated."""
    values = np.array([*stored, *[stored[-1]] * (16 - len(stored))])
    return np.repeat(values[:, None], 3, axis=1)


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv420p12le", "yuv422p10le"])
@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_is_close_to_ffmpegs_tone_mapping(transfer: int, pixel_format: str) -> None:
    difference = np.abs(sdr(hdr(levels(transfer), transfer, pixel_format)) - MOBIUS[transfer])
    assert difference[:4].max() <= 1  # dark and middle greys are not compressed by either
    assert difference.mean() <= 5  # bright ones are, by curves that differ


@pytest.mark.slow
@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_is_close_to_the_tone_mapping_of_ffmpegs_scaler(transfer: int) -> None:
    frame = hdr(levels(transfer), transfer)
    scaled = frame.reformat(
        format="rgb24",
        dst_colorspace="ITU709",
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_range="JPEG",
    )
    difference = np.abs(sdr(frame) - means(scaled.to_ndarray()))
    assert difference[:4].max() <= 1
    assert difference.mean() <= 7


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_is_brighter_in_sdr_than_its_stored_values(transfer: int) -> None:
    """Shown as if it were SDR, HDR is dull: its middle tones are stored at lower values."""
    frame = hdr(levels(transfer), transfer)
    frame.color_trc = 1
    frame.color_primaries = 1
    assert sdr(hdr(levels(transfer), transfer)).mean() > means(stored_rgb(frame, SIZE, SIZE)).mean()


def test_brighter_light_is_never_darker_and_the_peak_is_white() -> None:
    for transfer, peak in ((HLG, 1.0), (PQ, 0.7518)):  # PQ's value of 1000 cd/m2
        stored = np.linspace(0, peak, 16)
        shades = sdr(hdr(greys(*stored), transfer))[:, 0]
        assert (np.diff(shades) >= 0).all()
        assert shades[0] == 0
        assert shades[-1] >= 254


def test_hlg_and_pq_of_the_same_light_have_the_same_colour() -> None:
    """HLG at 0.75 is 203 cd/m2, which is PQ at 0.5807 (ITU-R BT.2408)."""
    hlg, pq = sdr(hdr(greys(0.75), HLG)), sdr(hdr(greys(0.5807), PQ))
    np.testing.assert_allclose(hlg, pq, atol=1)


def test_hues_stay_under_compression() -> None:
    red, green, blue = sdr(hdr(np.tile([0.7, 0.6, 0.5], (16, 1)), PQ))[0]
    assert red > green > blue
    linear = np.array([red, green, blue]) ** 2.4
    dark = sdr(hdr(np.tile([0.7, 0.6, 0.5], (16, 1)) * 0.5, PQ))[0] ** 2.4
    assert dark.argmax() == linear.argmax()


@pytest.mark.parametrize(("primaries", "transfer"), [(9, 14), (12, 1)], ids=["bt2020", "p3"])
def test_sdr_of_a_wide_gamut_is_converted_but_not_compressed(primaries: int, transfer: int) -> None:
    greys_only = sdr(hdr(greys(0.1, 0.3, 0.5, 0.7, 0.9, 1.0), transfer, primaries=primaries))
    np.testing.assert_allclose(greys_only, greys(0.1, 0.3, 0.5, 0.7, 0.9, 1.0) * 255, atol=1)
    red = np.tile([0.6, 0.3, 0.3], (16, 1))
    converted = sdr(hdr(red, transfer, primaries=primaries))[0]
    assert converted[0] > 0.6 * 255 + 5  # red of a wider gamut is a more saturated red in BT.709
    assert converted[1] < 0.3 * 255


@pytest.mark.parametrize(
    ("primaries", "transfer", "matrix", "needed"),
    [
        ("bt709", "bt709", "bt709", False),
        (None, None, None, False),
        ("smpte170m", "smpte170m", "smpte170m", False),
        (None, None, "bt2020nc", True),
        ("bt2020", "bt2020-10", "bt2020nc", True),
        ("smpte432", "bt709", "bt709", True),
        ("bt709", "arib-std-b67", "bt709", True),
        (None, "smpte2084", None, True),
    ],
)
def test_hdr_and_wide_gamuts_need_mapping(
    primaries: str | None, transfer: str | None, matrix: str | None, needed: bool
) -> None:
    assert needs_mapping(ColourTags(primaries, transfer, matrix, "tv")) is needed


def test_r_g_b_of_hdr_is_mapped_like_y_cb_cr() -> None:
    frame = patches("gbrp16le", colours=levels(PQ) * 255)
    frame.color_primaries, frame.color_trc, frame.colorspace = 9, PQ, 0
    assert np.abs(sdr(frame) - sdr(hdr(levels(PQ), PQ, "yuv444p12le"))).max() <= 2


def test_hdr_in_8_bits_is_mapped_too() -> None:
    frame = hdr(levels(HLG), HLG, "yuv420p")
    assert np.abs(sdr(frame) - sdr(hdr(levels(HLG), HLG))).max() <= 3


def test_y_cb_cr_of_hdr_has_the_colours_of_its_r_g_b() -> None:
    frame = hdr(levels(HLG), HLG)
    i420 = stored_i420(frame, SIZE, SIZE)
    assert (i420.format.name, i420.colorspace, i420.color_range) == ("yuv420p", 1, 1)
    assert np.abs(means(i420.to_ndarray(format="rgb24")) - sdr(frame)).max() <= 3


def test_a_frame_is_resized() -> None:
    assert to_sdr(hdr(levels(HLG), HLG), 50, 70).shape == (50, 70, 3)


def test_the_peak_of_pq_is_that_of_the_mastering_display(tmp_path: Path) -> None:
    """On a display of 4000 cd/m2, 1000 cd/m2 is not white yet."""
    options = (
        "log-level=none:lossless=1:hdr10=1:"
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L({},1)"
    )
    shades = []
    for peak in (1000, 4000):
        frame = hdr(greys(0.7518), PQ)
        path = tmp_path / f"{peak}.mp4"
        write_hevc(path, frame, options.format(peak * 10000))
        shades.append(means(stored_rgb(first_frame(path), SIZE, SIZE))[0, 0])
    assert shades[0] >= 254
    assert shades[1] <= 251


def write_hevc(path: Path, frame: av.VideoFrame, parameters: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": parameters})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p10le"
        encoder = stream.codec_context
        encoder.color_primaries, encoder.color_trc, encoder.colorspace = 9, PQ, 9
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
