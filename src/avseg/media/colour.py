"""Colour description of decoded frames.

The numbers are those of ITU-T H.273, which FFmpeg and most codecs share.
"""

from __future__ import annotations

from dataclasses import dataclass

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from avseg.types import VideoInfo

#: FFmpeg's names of the colour primaries.
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
#: FFmpeg's names of the transfer functions, from linear light to stored values.
TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
#: FFmpeg's names of the matrices between R'G'B' and Y'CbCr.
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
    15: "ipt-c2",
    16: "ycgco-re",
    17: "ycgco-ro",
}
#: FFmpeg's names of the limited and the full range of stored values.
RANGES = {1: "tv", 2: "pc"}

#: Transfer functions of high dynamic range: PQ and HLG (ITU-R BT.2100).
PQ, HLG = "smpte2084", "arib-std-b67"


@dataclass(frozen=True)
class ColourTags:
    """Colour description of a frame, in FFmpeg's names; None where the file has none.

    Attributes:
        primaries: Colour primaries, such as "bt709" or "bt2020".
        transfer: Transfer function, such as "bt709", or "smpte2084" (PQ) or "arib-std-b67" (HLG).
        matrix: Matrix between R'G'B' and Y'CbCr, such as "bt709", or "gbr" for R'G'B'.
        range: Range of the stored values: "tv" (limited) or "pc" (full).
    """

    primaries: str | None
    transfer: str | None
    matrix: str | None
    range: str | None

    @classmethod
    def of(cls, frame: VideoFrame) -> ColourTags:
        """Read the colour description of a frame.

        Args:
            frame: Frame as decoded.

        Returns:
            The description.
        """
        return cls(
            primaries=PRIMARIES.get(frame.color_primaries),
            transfer=TRANSFERS.get(frame.color_trc),
            matrix=MATRICES.get(frame.colorspace),
            range=RANGES.get(frame.color_range),
        )

    @classmethod
    def of_video(cls, video: VideoInfo) -> ColourTags:
        """Return the colour description in the metadata of a video.

        Args:
            video: Metadata of the video.

        Returns:
            The description.
        """
        return cls(
            video.colour_primaries, video.colour_transfer, video.colour_matrix, video.colour_range
        )

    def numbers(self) -> tuple[int, int, int, int]:
        """Return the numbers of primaries, transfer, matrix and range.

        Returns:
            The four numbers; those for "not described" where a name is None.
        """
        return (
            _number(PRIMARIES, self.primaries, 2),
            _number(TRANSFERS, self.transfer, 2),
            _number(MATRICES, self.matrix, 2),
            _number(RANGES, self.range, 0),
        )

    @property
    def hdr(self) -> bool:
        """Whether the frame has a high dynamic range (PQ or HLG)."""
        return self.transfer in (PQ, HLG)


def _number(names: dict[int, str], name: str | None, undescribed: int) -> int:
    """Return the number of a name."""
    return next((number for number, known in names.items() if known == name), undescribed)


def has_alpha(stream: VideoStream, frame: VideoFrame) -> bool:
    """Return whether the frames of a stream have an alpha channel.

    Args:
        stream: The stream.
        frame: Decoded frame of it.

    Returns:
        True also for VP8 and VP9 in WebM, whose alpha channel the decoder leaves out.
    """
    stored = any(component.is_alpha for component in frame.format.components)
    return stored or stream.metadata.get("alpha_mode") == "1"
