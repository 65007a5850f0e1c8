"""Missing and damaged parts of files are reported; unusual, but intact files are not."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest

import avseg
from avseg.media.container import open_media
from avseg.media.structure import find_damage
from tests.media.videos import Picture, Track, copy_from, write

MOVING = Picture(
    range(0, 2000, 40),
    options={"preset": "ultrafast", "g": "10"},
    rate=Fraction(25),
    time_base=Fraction(1, 25),
    noise=True,
)
VP8 = replace(MOVING, codec="libvpx", options={"deadline": "realtime", "cpu-used": "8", "g": "10"})
FLV1 = replace(MOVING, codec="flv", options={})
FRAGMENTS = "frag_keyframe+empty_moov"


def tone(seconds: float, codec: str = "aac", rate: int = 48000, start_s: float = 0.0) -> Track:
    times = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * times)
    return Track(wave[None].astype(np.float32), rate, codec=codec, start_s=start_s)


def clip(path: Path, **options: str) -> Path:
    """Write 50 frames of noise and a tone in the codecs of a container."""
    picture = {".webm": VP8, ".ogv": VP8, ".flv": FLV1}.get(path.suffix, MOVING)
    codec = {".webm": "libopus", ".ogv": "libopus", ".avi": "pcm_s16le"}.get(path.suffix, "aac")
    rate = 44100 if path.suffix == ".flv" else 48000
    return write(path, [picture], [tone(2, codec, rate)], dict(options))


def read(path: Path) -> tuple[int, list[str]]:
    """Read all frames; return their number, and the warnings."""
    warnings: list[str] = []
    clips = avseg.stream_clips(path, None, silent_ok=True, on_warning=warnings.append)
    return sum(len(clip.frames) for clip in clips), warnings


def damage(path: Path) -> str | None:
    with open_media(path) as container:
        return find_damage(path, container)


def without(path: Path, begin: int, end: int | None = None) -> Path:
    """Remove a part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:begin] + (b"" if end is None else data[end:]))
    return path


def places(path: Path, mark: bytes) -> list[int]:
    """Return where a sequence of bytes is in a file."""
    data, found = path.read_bytes(), [-1]
    while (place := data.find(mark, found[-1] + 1)) >= 0:
        found.append(place)
    return found[1:]


CLUSTER, PAGE, MOOF = b"\x1f\x43\xb6\x75", b"OggS", b"moof"


def cut_by_a_cluster(folder: Path) -> Path:
    path = clip(folder / "a.mkv", cluster_time_limit="400")
    return without(path, places(path, CLUSTER)[-1])


def without_a_cluster(folder: Path) -> Path:
    path = clip(folder / "a.mkv", cluster_time_limit="400")
    return without(path, *places(path, CLUSTER)[:2])


def overwritten_cluster(folder: Path) -> Path:
    path = clip(folder / "a.mkv", cluster_time_limit="400")
    data = bytearray(path.read_bytes())
    data[places(path, CLUSTER)[2]] = 0
    path.write_bytes(data)
    return path


def unfinished_block(folder: Path) -> Path:
    path = unfinished_recording(folder)
    return without(path, path.stat().st_size - 20)


def cut_ogg(folder: Path) -> Path:
    path = clip(folder / "a.ogv", page_duration="200000")
    return without(path, places(path, PAGE)[-2])


def ogg_without_a_page(folder: Path) -> Path:
    path = clip(folder / "a.ogv", page_duration="200000")
    return without(path, *places(path, PAGE)[10:12])


def ogg_with_a_damaged_page(folder: Path) -> Path:
    path = clip(folder / "a.ogv", page_duration="200000")
    data = bytearray(path.read_bytes())
    data[places(path, PAGE)[10] + 100] ^= 1
    path.write_bytes(data)
    return path


def cut_flv(folder: Path) -> Path:
    path = clip(folder / "a.flv")
    return without(path, path.stat().st_size - 100)


def flv_without_a_part(folder: Path) -> Path:
    path = clip(folder / "a.flv")
    return without(path, path.stat().st_size // 2, path.stat().st_size // 2 + 999)


def cut_avi(folder: Path) -> Path:
    path = clip(folder / "a.avi")
    return without(path, places(path, b"idx1")[-1])


def cut_ts(folder: Path) -> Path:
    path = clip(folder / "a.ts")
    return without(path, (path.stat().st_size // 376 - 4) * 188)


def cut_fragments(folder: Path) -> Path:
    path = clip(folder / "a.mp4", movflags=FRAGMENTS)
    return without(path, places(path, MOOF)[-1] - 4)


def damaged_fragments(folder: Path) -> Path:
    path = clip(folder / "a.mp4", movflags=FRAGMENTS)
    data = bytearray(path.read_bytes())
    begin = places(path, MOOF)[-2] - 4
    data[begin : begin + 8] = bytes(8)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (cut_by_a_cluster, r"the file has \d+ of the \d+ bytes that it announces"),
        (without_a_cluster, r"the file has \d+ of the \d+ bytes that it announces"),
        (overwritten_cluster, "the bytes at .* are damaged"),
        (unfinished_block, "the file ends within a block"),
        (cut_ogg, "the mark of the end of a stream is missing"),
        (ogg_without_a_page, "pages are missing before byte"),
        (ogg_with_a_damaged_page, r"the page at byte \d+ is damaged"),
        (cut_flv, "the file ends within a packet"),
        (flv_without_a_part, "the bytes at .* are damaged"),
        (cut_avi, r"the file has \d+ of the \d+ bytes that it announces"),
        (cut_ts, "the file ends within a frame"),
        (cut_fragments, "the file has no index of its fragments"),
        (damaged_fragments, "the bytes at .* are damaged"),
    ],
)
def test_missing_bytes_are_reported(
    make: Callable[[Path], Path], finding: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    found = damage(path)
    assert found is not None
    assert re.match(finding, found)
    with suppress(avseg.AvsegError):  # more is lost than is tolerated
        assert any(found in warning for warning in read(path)[1])


class Pipe:
    """File that cannot be rewound, as a recorder that is stopped leaves it: sizes are unknown."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Append bytes."""
        return self._file.write(data)


def unfinished_recording(folder: Path) -> Path:
    """Write a file as a recorder does that is stopped: without sizes, length and index."""
    path = folder / "a.mkv"
    source = clip(folder / "source.mkv")
    with (
        path.open("wb") as file,
        av.open(str(source)) as container,
        av.open(Pipe(file), "w", format="matroska") as output,
    ):
        copies = [output.add_stream_from_template(stream) for stream in container.streams]
        for packet in container.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
    return path


def variable_rate(folder: Path) -> Path:
    times = [*range(0, 800, 40), *range(800, 1700, 130), *range(1700, 2000, 10)]
    return write(folder / "a.mkv", [Picture(times, noise=True)], [tone(2)])


def slides(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        picture = Picture(range(0, 20_000, 5000), noise=True)
        return write(folder / name, [picture], [tone(20, rate=16000)])

    return make


def edit_list(folder: Path) -> Path:
    return copy_from(clip(folder / "source.mp4"), folder / "a.mp4", 0.56)


def long_audio(folder: Path) -> Path:
    return write(folder / "a.mkv", [MOVING], [tone(6)])


def short_audio(folder: Path) -> Path:
    return write(folder / "a.mp4", [MOVING], [tone(0.7)])


def late_audio(folder: Path) -> Path:
    return write(folder / "a.mkv", [MOVING], [tone(1.2, start_s=0.8)])


def with_options(name: str, **options: str) -> Callable[[Path], Path]:
    return lambda folder: clip(folder / name, **options)


def followed_by_other_bytes(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = clip(folder / name)
        path.write_bytes(path.read_bytes() + bytes(500))
        return path

    return make


def avi_without_index(folder: Path) -> Path:
    path = clip(folder / "a.avi")
    begin = places(path, b"idx1")[-1]
    data = bytearray(path.read_bytes()[:begin])
    data[4:8] = (begin - 8).to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "make",
    [
        *(variable_rate, edit_list, long_audio, short_audio, late_audio, unfinished_recording),
        *(slides(name) for name in ("a.mp4", "a.mkv", "a.ts")),
        *(with_options(f"a.{name}") for name in ("mp4", "mov", "mkv", "webm", "ts", "avi", "ogv")),
        with_options("a.flv"),
        with_options("a.flv", flvflags="no_metadata+no_duration_filesize"),
        with_options("a.mkv", reserve_index_space="5000", cluster_time_limit="300"),
        with_options("a.mkv", write_crc32="0"),
        with_options("a.mkv", live="1"),
        with_options("a.mp4", movflags=FRAGMENTS),
        with_options("a.mp4", movflags=f"{FRAGMENTS}+dash+skip_trailer"),
        with_options("a.mp4", movflags="faststart"),
        with_options("a.ts", mpegts_m2ts_mode="1"),
        with_options("a.ts", omit_video_pes_length="0"),
        with_options("a.ogv", page_duration="100000"),
        *(followed_by_other_bytes(name) for name in ("a.mp4", "a.mkv")),
        avi_without_index,
    ],
)
def test_an_intact_file_has_no_warning(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    assert damage(path) is None
    assert read(path)[1] == []


def captured_broadcast(folder: Path) -> Path:
    """Cut the beginning of a transport stream, up to the middle of a group of pictures."""
    path = clip(folder / "a.ts")
    size = path.stat().st_size // 188
    return without(path, 0, size // 7 * 188)


def fragments_without_index(folder: Path) -> Path:
    return clip(folder / "a.mp4", movflags=f"{FRAGMENTS}+skip_trailer")


@pytest.mark.parametrize("make", [captured_broadcast, fragments_without_index, unfinished_block])
def test_a_part_of_a_recording_is_accepted(make: Callable[[Path], Path], tmp_path: Path) -> None:
    assert read(make(tmp_path))[0] >= 35
