"""Parts of a model: where they are looked for, and what must fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from avseg.errors import TrainingError
from avseg.training.parts import Part, find_weights, load_part


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    save_file({"tower.weight": torch.ones(2, 3), "tower.bias": torch.ones(2)}, weights)
    return weights


def test_a_name_is_a_folder_among_the_runs(tmp_path: Path) -> None:
    weights = make_run(tmp_path / "runs" / "clip")
    assert find_weights("clip", tmp_path / "runs") == weights


def test_a_path_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    weights = make_run(tmp_path / "elsewhere" / "clip")
    assert find_weights(str(tmp_path / "elsewhere" / "clip"), tmp_path / "runs") == weights


def test_a_missing_run_is_refused_with_the_command_that_trains_it(tmp_path: Path) -> None:
    command = f"avseg train clip --output {tmp_path / 'clip'}"
    with pytest.raises(TrainingError, match="there is no run 'clip'") as error:
        find_weights("clip", tmp_path)
    assert command in str(error.value)


def test_a_run_that_did_not_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip" / "checkpoint-5").mkdir(parents=True)
    with pytest.raises(TrainingError, match="did not come to its end; run it again"):
        find_weights("clip", tmp_path)


def test_a_part_gets_the_weights_under_its_prefix(tmp_path: Path) -> None:
    part = nn.Linear(3, 2)
    load_part(part, Part(make_run(tmp_path / "clip"), "tower."))
    assert part.weight.eq(1).all()


@pytest.mark.parametrize(
    ("part", "prefix", "message"),
    [
        (nn.Linear(3, 2), "segmenter.", r"segmenter.\* do not fit: 2 missing \(bias\)"),
        (nn.Linear(3, 2, bias=False), "tower.", r"1 unknown \(bias\)"),
        (nn.Linear(4, 2), "tower.", r"1 of another shape \(weight \(2, 3\) in place of \(2, 4\)\)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_weights_that_do_not_fit_are_refused(
    part: nn.Module, prefix: str, message: str, tmp_path: Path
) -> None:
    weights = make_run(tmp_path / "clip")
    with pytest.raises(TrainingError, match=message):
        load_part(part, Part(weights, prefix))
