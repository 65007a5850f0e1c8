"""`avseg draw`, as typed."""

from pathlib import Path

import pytest
from PIL import Image

from avseg.cli.main import app, run
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from tests.models.factories import SAMA
from tests.segmenters import save_random_baseline, save_random_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """S4 of SynthAVS with eight clips in each split, as options."""
    folder = tmp_path_factory.mktemp("data")
    write_synthavs(
        folder, SynthavsOptions(subset="s4", clips=1, evaluation_clips=8, side=64), workers=1
    )
    return ["--data", str(folder), "--subset", "s4", "--split", "test_seen", "--device", "cpu"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An AV2T-SAM and a SAMA with random weights."""
    folder = tmp_path_factory.mktemp("models")
    return [
        str(save_random_model(folder / "bridge")),
        str(save_random_baseline(folder / "sama", SAMA)),
    ]


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_models_are_drawn_below_each_other(
    models: list[str], data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two, one = tmp_path / "new" / "two.png", tmp_path / "one.png"
    assert run(app, ["draw", "comparison", *models, *data, "--clips", "1", "-o", str(two)]) == 0
    assert "two.png: written" in capsys.readouterr().out
    assert run(app, ["draw", "comparison", models[0], *data, "--clips", "1", "-o", str(one)]) == 0
    assert size_of(two)[1] - size_of(one)[1] == 164
    assert [path.name for path in two.parent.iterdir()] == ["two.png"]


def test_the_error_for_a_missing_clip_names_it(
    models: list[str], data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = str(tmp_path / "sheet.png")
    assert run(app, ["draw", "comparison", *models, *data, "--clip", "dog", "-o", sheet]) == 1
    assert "has no clip 'dog'" in capsys.readouterr().err


def test_embeddings_are_drawn(models: list[str], data: list[str], tmp_path: Path) -> None:
    output = tmp_path / "tsne.png"
    assert run(app, ["draw", "embeddings", models[0], *data, "-o", str(output)]) == 0
    assert size_of(output)[0] > 1000


def test_a_model_without_embeddings_is_an_error(
    models: list[str], data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tsne.png"
    assert run(app, ["draw", "embeddings", models[1], *data, "-o", str(output)]) == 1
    assert (
        "choose a model of avseg-av2t-sam, avseg-av2t-sam3 or avseg-tavis"
        in capsys.readouterr().err
    )
    assert not output.exists()
