"""Options of the tasks: their table, and the data sets that they name."""

from dataclasses import fields

import pytest

from avseg.errors import TrainingError
from avseg.training.tasks.options import TASKS, AudioVisual, DataSetOptions, TextBridge


def test_every_split_of_joined_data_sets_is_listed() -> None:
    options = TextBridge(("ms3/train",), ("s4/val+ms3/val",), ("s4/test",))
    assert options.splits() == ["ms3/train", "s4/val", "ms3/val", "s4/test"]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_reads_data_sets_has_fields_for_them(name: str) -> None:
    kind = TASKS[name]
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every task is a dataclass
    assert issubclass(kind, DataSetOptions) == ({"train", "measured", "tested"} <= names)


def test_only_single_frames_can_have_off_screen_sound_in_tavis() -> None:
    with pytest.raises(TrainingError, match=r"set data\.frames_alone=true"):
        TextBridge(("ms3/train",), (), off_screen=0.1)
    assert AudioVisual(("ms3/train",), (), off_screen=0.1).off_screen == 0.1
