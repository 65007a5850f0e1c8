"""Maps of embeddings: their clips, nearest neighbours and labels."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError, DatasetError, OutputError
from avseg.evaluation.figures import embeddings
from avseg.evaluation.figures.embeddings import (
    CentredSpace,
    ClipEmbeddings,
    draw_embeddings,
    embed_clips,
    map_space,
    nearest_neighbour_share,
    plot_embeddings,
    require_scikit_learn,
)
from avseg.evaluation.prediction import SegmenterPredictor
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from tests.models.factories import SAMA
from tests.segmenters import save_random_baseline


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> AVSBench:
    """Nine clips of single sources."""
    folder = tmp_path_factory.mktemp("single")
    write_synthavs(
        folder, SynthavsOptions(subset="s4", clips=1, evaluation_clips=9, side=64), workers=1
    )
    return AVSBench(folder, "s4", "test_seen", sample_rate=8000)


def space_of(**points: list[list[float]]) -> CentredSpace:
    arrays = {name: np.array(rows, np.float32) for name, rows in points.items()}
    return CentredSpace("a space", {m: arrays[m] for m in ("sound", "picture") if m in arrays})


def random_space(clips: int) -> CentredSpace:
    points = np.random.default_rng(0).normal(size=(2, clips, 6)).astype(np.float32)
    return CentredSpace("a space", {"sound": points[0], "picture": points[1]})


def test_the_nearest_point_of_the_other_modality_counts_but_not_the_same_clip() -> None:
    left, right = [[1.0, 0.0]], [[0.0, 1.0]]
    together = space_of(sound=left * 2 + right * 2, picture=left * 2 + right * 2)
    neighbours = nearest_neighbour_share(together, ["dog", "dog", "cat", "cat"])
    assert neighbours.share == 1.0
    assert neighbours.chance == pytest.approx(1 / 3)
    crossed = space_of(sound=left * 2 + right * 2, picture=right * 2 + left * 2)
    assert nearest_neighbour_share(crossed, ["dog", "dog", "cat", "cat"]).share == 0.0
    alone = space_of(sound=left * 2 + right * 2)
    assert nearest_neighbour_share(alone, ["dog", "cat", "cat", "dog"]).share == 0.0


def test_a_map_is_the_same_each_time() -> None:
    first, again = (map_space(random_space(20)) for _ in range(2))
    assert {name: places.shape for name, places in first.items()} == {
        "sound": (20, 2),
        "picture": (20, 2),
    }
    for name, places in first.items():
        np.testing.assert_array_equal(places, again[name])


def test_each_clip_is_one_point_of_length_one(single: AVSBench, segmenter: Segmenter) -> None:
    embedded = embed_clips(SegmenterPredictor(segmenter), single, count=100)
    assert embedded.categories == tuple(entry.category for entry in single.entries)
    assert [list(space.points) for space in embedded.spaces] == [["picture"], ["sound"], ["both"]]
    for space in embedded.spaces:
        for points in space.points.values():
            np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.ones(9), rtol=1e-5)


def test_clips_of_a_larger_split_are_taken_in_even_steps(
    single: AVSBench, segmenter: Segmenter
) -> None:
    embedded = embed_clips(SegmenterPredictor(segmenter), single, count=3)
    assert embedded.categories == tuple(single.entries[n].category for n in (0, 4, 8))


def test_a_family_without_embeddings_raises_an_error(single: AVSBench, tmp_path: Path) -> None:
    segmenter = load_segmenter(save_random_baseline(tmp_path / "sama", SAMA), device="cpu")
    with pytest.raises(CheckpointError, match=r"sama is of the family avseg-sama, which shows no"):
        embed_clips(SegmenterPredictor(segmenter), single, count=3)


def test_a_split_with_few_single_categories_raises_an_error(
    split: AVSBench, segmenter: Segmenter
) -> None:
    with pytest.raises(DatasetError, match=r"clips with a single, known .* choose s4"):
        embed_clips(SegmenterPredictor(segmenter), split, count=3)


def test_the_most_frequent_categories_are_drawn(single: AVSBench, segmenter: Segmenter) -> None:
    counted = Counter(entry.category for entry in single.entries)
    rarest = min(counted.values())
    all_but_some = len(counted) - 1
    kept = set(embed_clips(SegmenterPredictor(segmenter), single, 100, all_but_some).categories)
    (missing,) = set(counted) - kept
    assert counted[missing] == rarest


def test_the_figure_lists_how_it_was_made() -> None:
    categories = tuple(f"category_{number % 12:02}" for number in range(24))
    spaces = (random_space(24), CentredSpace("another", {"both": np.eye(24, dtype=np.float32)}))
    figure = plot_embeddings(ClipEmbeddings("small", "s4/test", categories, spaces))
    assert figure.get_suptitle() == "small on s4/test: 24 clips, a second of each"
    assert f"t-SNE (scikit-learn {require_scikit_learn()}," in figure.get_supxlabel()
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["a space", "another"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:4] == ["sound", "picture", "sound and picture", "category 00"]
    handles = figure.legends[0].legend_handles[3:]
    assert len({handle.get_color() for handle in handles if isinstance(handle, Line2D)}) == 12


def test_without_scikit_learn_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(OutputError, match=r"avseg\[draw\]"):
        embeddings.require_scikit_learn()


def test_an_own_function_has_no_embeddings(single: AVSBench) -> None:
    with pytest.raises(CheckpointError, match="has no embeddings; choose a model of avseg"):
        draw_embeddings(lambda *_: np.zeros(1), single)  # type: ignore[arg-type]
