"""Every entry of a published model is complete, and states its origin."""

import re

import pytest

from avseg.checkpoints.known_models import RELEASES, HubFile, Release, describe_size
from avseg.checkpoints.model_folder import Training

FILM = Training("films", is_filmed=True)
PARTS = list(dict.fromkeys(part for release in RELEASES.values() for part in release.files))


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_a_release_has_a_description_and_the_origin_of_its_figures(release: Release) -> None:
    assert release.what
    assert release.details
    assert bool(release.figures) == bool(release.figures_from)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.repository}/{part.file}")
def test_a_hub_file_has_a_repository_and_the_origin_of_its_name(part: HubFile) -> None:
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", part.repository)
    assert part.file
    assert part.name_from
    assert part.sha256 is None or re.fullmatch("[0-9a-f]{64}", part.sha256)


def test_only_multitask_models_have_words_of_their_own() -> None:
    files = {name: [part.file for part in release.files] for name, release in RELEASES.items()}
    assert files["evf-sam"] == ["pytorch_model.bin", "sentencepiece.bpe.model"]
    assert files["evf-sam-multitask"] == [*files["evf-sam"], "added_tokens.json"]


def test_options_that_a_file_does_not_determine_are_listed() -> None:
    named = {name: dict(release.options) for name, release in RELEASES.items() if release.options}
    assert named == {"evf-sam2": {"multimask": False}, "auralsam2-v2": {"window_frames": 10}}


def test_a_licence_that_one_owner_does_not_state_is_not_stated() -> None:
    stated, unstated = HubFile("a/a", "a", "", "MIT"), HubFile("b/b", "b", "", None)
    assert Release("both", "", (stated, unstated), "one", FILM).licence is None
    assert RELEASES["evf-sam2"].licence == "Apache-2.0"


def test_a_release_combines_the_licences_of_its_files() -> None:
    parts = (HubFile("a/a", "a", "", "MIT"), HubFile("b/b", "b", "", "Apache-2.0"))
    assert Release("both", "", (*parts, *parts), "one", FILM).licence == "Apache-2.0 AND MIT"


def test_a_size_is_known_if_that_of_every_file_is_known() -> None:
    known, unknown = HubFile("a/a", "a", "", "MIT", size_bytes=5), HubFile("b/b", "b", "", "MIT")
    both = Release("both", "", (known, unknown), "one", FILM)
    assert (both.known_bytes, both.size_is_known) == (5, False)
    assert RELEASES["evf-sam2"].size_is_known
    assert not RELEASES["evf-sam2"].size_is_computed


def test_a_small_file_of_unknown_size_does_not_matter() -> None:
    weights = HubFile("a/a", "a.safetensors", "", "MIT", size_bytes=5)
    config = HubFile("a/a", "config.json", "", "MIT")
    assert Release("a", "", (weights, config), "one", FILM).size_is_known


def test_a_size_that_follows_from_the_parameters_is_marked() -> None:
    cascade = RELEASES["open-cascade-light"]
    assert cascade.size_is_known
    assert cascade.size_is_computed
    computed = {file.repository for file in cascade.files if file.size_is_computed}
    assert computed == {"laion/clap-htsat-unfused"}


def test_a_release_is_seen_if_every_file_of_it_is_seen() -> None:
    assert RELEASES["evf-sam2"].is_seen
    assert not RELEASES["evf-sam2-multitask"].is_seen


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (3_150_000_000, "3.15 GB"),
        (690_000_000, "690 MB"),
        (26, "26 bytes"),
        (None, "size not known"),
    ],
)
def test_a_size_is_formatted_with_a_unit(size_bytes: int | None, words: str) -> None:
    assert describe_size(size_bytes) == words


def test_a_computed_size_has_a_mark_and_fewer_digits() -> None:
    assert describe_size(3_084_000_000, is_computed=True) == "~3.1 GB"
    assert describe_size(614_000_000, is_computed=True) == "~614 MB"
