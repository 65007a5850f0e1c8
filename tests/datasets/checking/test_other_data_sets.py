"""Data sets of other tasks are named, instead of being reported as damaged ones of AVSBench."""

from collections.abc import Callable
from pathlib import Path

import pytest

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.checking import check_data
from avseg.errors import DatasetError


def lay_out_ref_avs(folder: Path) -> None:
    (folder / "gt_mask").mkdir(parents=True)
    (folder / "media").mkdir()
    (folder / "metadata.csv").write_text("vid,uid,split,fid,exp\nv,v_0,test,0,the dog\n")


def lay_out_ref_avs_metadata(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "metadata.csv").write_text("vid,uid,split,fid,exp\nv,v_0,test,0,the dog\n")


def lay_out_omniavs(folder: Path) -> None:
    for name in ("images", "audios", "referrings"):
        (folder / name).mkdir(parents=True)


@pytest.mark.parametrize("inner", ["", "inner"])
@pytest.mark.parametrize(
    ("lay_out", "name"),
    [
        (lay_out_ref_avs, "Ref-AVS"),
        (lay_out_ref_avs_metadata, "Ref-AVS"),
        (lay_out_omniavs, "OmniAVS"),
    ],
)
def test_a_data_set_of_another_task_is_named(
    lay_out: Callable[[Path], None], name: str, inner: str, tmp_path: Path
) -> None:
    lay_out(tmp_path / "data" / inner)
    with pytest.raises(DatasetError, match=f"is {name}, .* which avseg does not read"):
        check_data(tmp_path / "data", workers=1)
    with pytest.raises(DatasetError, match=f"is {name}, .* which avseg does not read"):
        AVSBench(tmp_path / "data" / inner, "avss", "test")
