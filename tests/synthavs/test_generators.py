"""Versions of the generator, options of a data set, and clips by their index."""

import pytest

from avseg.datasets.layout import Release
from avseg.synthavs.categories import UNSEEN_STYLES
from avseg.synthavs.generators import (
    GENERATORS,
    GeneratorVersion,
    SynthavsOptions,
    component_of,
    draw_clip,
)


@pytest.mark.parametrize(("clips", "others"), [(1, 10), (40, 10), (200, 50), (4000, 100)])
def test_evaluation_splits_are_a_quarter_of_training_within_limits(clips: int, others: int) -> None:
    counts = SynthavsOptions(subset="ms3", clips=clips).counts()
    assert counts.pop("train") == clips
    assert set(counts.values()) == {others}


def test_the_size_of_evaluation_splits_can_be_chosen() -> None:
    counts = SynthavsOptions(subset="ms3", clips=5, evaluation_clips=3).counts()
    assert counts == {"train": 5, "val": 3, "test": 3, "test_seen": 3, "test_zero_shot": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "s5"}, "subset must be one of s4, ms3, avss, got 's5'"),
        ({"clips": 0}, "clips must be at least 1, got 0"),
        ({"evaluation_clips": 0}, "evaluation_clips must be at least 1, got 0"),
        ({"generator_version": 1}, "generator_version must be one of 2, 3, got 1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"side": 16}, "side must be at least 32, got 16"),
        ({"side": 49, "videos": True}, "side must be even to write videos .* got 49"),
    ],
)
def test_invalid_options_raise(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SynthavsOptions(**({"subset": "s4", "clips": 4} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subset", "components"),
    [("s4", ["v1s"] * 4), ("ms3", ["v1m"] * 4), ("avss", ["v1s", "v1m", "v2", "v1s"])],
)
def test_the_components_of_the_semantic_subset_alternate(
    subset: Release, components: list[str]
) -> None:
    assert [component_of(subset, index) for index in range(4)] == components


def test_clips_differ_by_seed_subset_split_and_number() -> None:
    options = SynthavsOptions(subset="ms3", clips=2, side=32)
    clips = [
        draw_clip(options, "train", 0),
        draw_clip(options, "train", 1),
        draw_clip(options, "val", 0),
        draw_clip(SynthavsOptions(subset="ms3", clips=2, side=32, seed=1), "train", 0),
        draw_clip(SynthavsOptions(subset="s4", clips=2, side=32), "train", 0),
    ]
    assert len({clip.frame(0)[0].tobytes() for clip in clips}) == len(clips)


def test_a_clip_does_not_depend_on_how_many_there_are() -> None:
    few, many = (SynthavsOptions(subset="ms3", clips=clips, side=32) for clips in (2, 200))
    assert (draw_clip(few, "train", 1).audio == draw_clip(many, "train", 1).audio).all()


@pytest.mark.parametrize("version", GENERATORS)
def test_a_style_that_training_lacks_is_unseen_in_every_version(version: GeneratorVersion) -> None:
    domains = GENERATORS[version].domains
    assert domains["test"].styles == UNSEEN_STYLES
    assert not set(domains["train"].styles) & set(UNSEEN_STYLES)


@pytest.mark.parametrize("version", GENERATORS)
def test_every_version_has_the_same_splits_in_the_same_order(version: GeneratorVersion) -> None:
    names = ["train", "val", "test", "test_seen", "test_zero_shot"]
    assert list(GENERATORS[version].domains) == names
    assert [d.parameter_split for d in GENERATORS[version].domains.values()] == [
        "train", "test", "test", "test", "test",
    ]  # fmt: skip


def test_versions_draw_different_clips() -> None:
    first, second = (
        draw_clip(SynthavsOptions(subset="s4", clips=1, side=32, generator_version=v), "test", 0)
        for v in GENERATORS
    )
    assert (first.frame(0)[0] != second.frame(0)[0]).any()
