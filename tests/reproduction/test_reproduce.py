"""What a paper's tables are made of, whichever the paper."""

from pathlib import Path

import pytest

from avseg.reproduction import reproduce as reproducing
from avseg.reproduction.av2t_sam import Av2tSamTables
from avseg.reproduction.claims import Reproduction
from avseg.reproduction.grid import Measures, Stage
from avseg.reproduction.reproduce import reproduce
from avseg.reproduction.tavis import TavisTables


@pytest.mark.parametrize("tables", [Av2tSamTables, TavisTables])
def test_all_rows_are_trained_if_none_is_named(
    tables: type[Av2tSamTables | TavisTables], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Stage] = []

    def train_grid(grid: dict[str, list[Stage]], *_: object) -> dict[str, list[Measures]]:
        assert tuple(grid) == tables.row_names
        planned.extend(stage for runs in grid.values() for stage in runs)
        return {}

    monkeypatch.setattr(reproducing, "measure_baselines", lambda _: {})
    monkeypatch.setattr(reproducing, "train_grid", train_grid)
    found: Reproduction = reproduce(tables, tmp_path, tmp_path, seeds=2, steps=7)
    assert found.steps == 7
    assert {stage.recipe.trainer["max_steps"] for stage in planned} == {7}
    assert len({stage.output for stage in planned}) == 2 * len(tables.row_names)
    assert (tmp_path / f"{tables.paper}.md").is_file()
