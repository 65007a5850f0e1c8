"""Recipes: the splits of SynthAVS and what keeps them apart."""

import pytest

from avseg.datasets.layout import Release
from avseg.datasets.synthetic.categories import TRAIN_STYLES, ZERO_SHOT
from avseg.datasets.synthetic.recipe import WORLDS, Recipe, draw_clip, part_of


def test_unseen_styles_never_occur_in_training() -> None:
    assert not set(WORLDS["test"].styles) & set(TRAIN_STYLES)
    assert set(WORLDS["train"].styles) == set(TRAIN_STYLES)


def test_seen_evaluation_styles_are_styles_of_training() -> None:
    for split in ("val", "test_seen", "test_zero_shot"):
        assert set(WORLDS[split].styles) <= set(TRAIN_STYLES)


def test_zero_shot_categories_occur_in_their_own_split_alone() -> None:
    for split, world in WORLDS.items():
        assert bool(set(world.categories) & set(ZERO_SHOT)) == (split == "test_zero_shot")
    assert set(WORLDS["test_zero_shot"].categories) == set(ZERO_SHOT)


def test_no_evaluation_sound_has_parameters_of_training() -> None:
    assert {split: world.voice for split, world in WORLDS.items() if split != "train"} == {
        "val": "test",
        "test": "test",
        "test_seen": "test",
        "test_zero_shot": "test",
    }
    assert WORLDS["train"].voice == "train"


@pytest.mark.parametrize(("clips", "others"), [(1, 10), (40, 10), (200, 50), (4000, 100)])
def test_evaluation_splits_are_a_quarter_of_training_within_limits(clips: int, others: int) -> None:
    counts = Recipe(subset="ms3", clips=clips).counts()
    assert counts.pop("train") == clips
    assert set(counts.values()) == {others}


def test_the_size_of_evaluation_splits_can_be_chosen() -> None:
    counts = Recipe(subset="ms3", clips=5, evaluation_clips=3).counts()
    assert counts == {"train": 5, "val": 3, "test": 3, "test_seen": 3, "test_zero_shot": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "s5"}, "subset must be one of s4, ms3, avss, got 's5'"),
        ({"clips": 0}, "clips must be at least 1, got 0"),
        ({"evaluation_clips": 0}, "evaluation_clips must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"side": 16}, "side must be at least 32, got 16"),
        ({"side": 49, "videos": True}, "side must be even to write videos .* got 49"),
    ],
)
def test_recipes_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**({"subset": "s4", "clips": 4} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subset", "parts"),
    [("s4", ["v1s"] * 4), ("ms3", ["v1m"] * 4), ("avss", ["v1s", "v1m", "v2", "v1s"])],
)
def test_the_parts_of_the_semantic_subset_take_turns(subset: Release, parts: list[str]) -> None:
    assert [part_of(subset, index) for index in range(4)] == parts


def test_clips_differ_by_seed_subset_split_and_number() -> None:
    recipe = Recipe(subset="ms3", clips=2, side=32)
    clips = [
        draw_clip(recipe, "train", 0),
        draw_clip(recipe, "train", 1),
        draw_clip(recipe, "val", 0),
        draw_clip(Recipe(subset="ms3", clips=2, side=32, seed=1), "train", 0),
        draw_clip(Recipe(subset="s4", clips=2, side=32), "train", 0),
    ]
    assert len({clip.scene.background.tobytes() for clip in clips}) == len(clips)


def test_a_clip_does_not_depend_on_how_many_there_are() -> None:
    few, many = (Recipe(subset="ms3", clips=clips, side=32) for clips in (2, 200))
    assert (draw_clip(few, "train", 1).audio == draw_clip(many, "train", 1).audio).all()
