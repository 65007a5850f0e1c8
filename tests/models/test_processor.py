"""What all processors share: saving, and the audio of each frame."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avseg.errors import CheckpointError, ClipError
from avseg.models.processor import (
    PROCESSOR_FILE,
    BaseProcessor,
    SavedTokenizer,
    as_pixels,
    audio_of_frames,
    check_sample_rate,
    fitted_size,
    normalise,
    resize,
)
from avseg.types import Clip


class Words:
    """A tokenizer that is one file."""

    def save(self, folder: Path) -> None:
        """Write the file."""
        (folder / "words").write_text("dog")


@dataclass(frozen=True)
class WordProcessor(BaseProcessor):
    """A processor with one option and a tokenizer."""

    side: int
    words: Words | None = field(default=None, compare=False)

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {"words": Words() if (folder / "words").exists() else None}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        if self.words is None:
            raise ValueError("no tokenizer")
        return (self.words,)


def clip(sample_rate: int = 8000) -> Clip:
    """Build two black frames with two seconds of a rising signal."""
    return Clip(
        origin="ramp.mp4",
        frames=np.zeros((2, 4, 4, 3), np.uint8),
        frame_times=np.array([0.5, 1.5]),
        audio_times=np.array([0.5, 1.5]),
        audio=np.linspace(0, 1, 2 * sample_rate, dtype=np.float32),
        audio_start_s=0.0,
        sample_rate=sample_rate,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"side": 8', "is not JSON"), ("[8]", "must be a JSON object"), ("null", "must be")],
)
def test_damaged_options_are_an_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / PROCESSOR_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        WordProcessor.from_pretrained(tmp_path)


def test_options_are_saved_and_tokenizers_have_their_own_files(tmp_path: Path) -> None:
    WordProcessor(64, Words()).save_pretrained(tmp_path / "new")
    assert json.loads((tmp_path / "new" / PROCESSOR_FILE).read_text()) == {"side": 64}
    loaded = WordProcessor.from_pretrained(tmp_path / "new")
    assert loaded == WordProcessor(64)
    assert loaded.words is not None


def test_nothing_is_written_if_a_tokenizer_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer"):
        WordProcessor(64).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_with_other_options_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / PROCESSOR_FILE).write_text('{"size": 64}')
    with pytest.raises(CheckpointError, match=r"has the options \['size'\], this processor has"):
        WordProcessor.from_pretrained(tmp_path)


def test_the_audio_of_a_frame_is_the_window_around_its_time() -> None:
    windows = audio_of_frames(clip(), 8000, 0.25)
    np.testing.assert_array_equal(windows, clip().audio_windows(0.25))


def test_given_segments_replace_the_windows() -> None:
    segments = np.ones((2, 10), np.float32)
    assert audio_of_frames(clip(), 8000, 0.25, segments) is segments
    with pytest.raises(ClipError, match="3 audio segments for 2 frames"):
        audio_of_frames(clip(), 8000, 0.25, np.ones((3, 10), np.float32))


def test_another_sample_rate_raises_an_error() -> None:
    with pytest.raises(ClipError, match="audio is at 8000 Hz, the model needs 16000 Hz"):
        check_sample_rate(clip(), 16000)


def test_normalising_is_subtracting_and_dividing() -> None:
    pixels = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    normalised = normalise(pixels, ((1.0, 1.0, 1.0), (1.0, 2.0, 4.0)))
    assert normalised.flatten().tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("size", [(7, 30), (64, 20)])
def test_a_frame_is_resized_as_pillow_does_to_one_grey_level(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 20, 50, 3), dtype=np.uint8)
    resized = resize(as_pixels(frames), size, "bilinear")[0].permute(1, 2, 0).numpy()
    pillow = Image.fromarray(frames[0]).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized, np.asarray(pillow, np.float64), rtol=0, atol=1)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((480, 640), (768, 1024)), ((640, 481), (1024, 770)), ((9, 9), (1024, 1024))],
)
def test_a_fitted_frame_has_its_longer_side_at_that_of_the_square(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert fitted_size(size, 1024) == fitted
