"""The public function behind `avseg data synthesize`."""

from pathlib import Path

import pytest

import avseg
from avseg.errors import DatasetError


def test_a_data_set_is_written_with_progress_and_kept_the_second_time(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for existed in (False, True):
        written = avseg.synthesize_data(
            tmp_path,
            subset="ms3",
            clips=2,
            evaluation_clips=1,
            negatives=True,
            workers=1,
            on_clip=lambda done, total: seen.append((done, total)),
        )
        assert written.existed == existed
        assert written.folder == tmp_path / "Multi-sources"
        assert written.negatives == tmp_path / "avsbench_neg_data/Multi-sources"
    assert seen == [(done, 6) for done in range(1, 7)]
    assert len(avseg.AVSBench(tmp_path, "ms3_noise", "test")) == 1
    assert avseg.check_data(tmp_path, workers=1).errors == 0


def test_negative_audio_of_avss_raises_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="s4 and ms3 only"):
        avseg.synthesize_data(tmp_path / "data", subset="avss", clips=1, negatives=True)
    assert not list(tmp_path.iterdir())
