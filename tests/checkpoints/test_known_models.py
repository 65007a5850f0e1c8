"""Every entry of a published model is complete, and states its origin."""

import re

import pytest

from avseg.checkpoints.known_models import RELEASES, HubFile, Release, describe_size

PARTS = list(dict.fromkeys(part for release in RELEASES.values() for part in release.files))


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_a_release_has_a_description_and_the_origin_of_its_figures(release: Release) -> None:
    assert release.what
    assert release.figures
    assert release.figures_from


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.repository}/{part.file}")
def test_a_hub_file_has_a_repository_and_the_origin_of_its_name(part: HubFile) -> None:
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", part.repository)
    assert part.file
    assert part.name_from
    assert part.sha256 is None or re.fullmatch("[0-9a-f]{64}", part.sha256)


def test_patterns_of_the_sam_1_and_the_sam_2_file_do_not_match_each_other() -> None:
    sam1, sam2 = (RELEASES[f"av2t-sam{n}-s4"].files[0].file for n in (1, 2))
    assert sam1 == "*mul_adapter_evf_sam_s4_best.pth"
    assert sam2 == "*mul_adapter_evf_sam2_s4_best.pth"


def test_the_figures_are_those_of_table_1() -> None:
    assert RELEASES["av2t-sam2-ms3"].figures == {"MS3 mIoU": 69.65, "MS3 F": 0.777}


def test_only_multitask_models_have_words_of_their_own() -> None:
    files = {name: [part.file for part in release.files] for name, release in RELEASES.items()}
    assert files["evf-sam"] == ["pytorch_model.bin", "sentencepiece.bpe.model"]
    assert files["evf-sam-multitask"] == [*files["evf-sam"], "added_tokens.json"]


def test_only_the_first_evf_sam_on_sam_2_predicts_a_single_mask() -> None:
    named = {name: dict(release.options) for name, release in RELEASES.items() if release.options}
    assert named == {"evf-sam2": {"multimask": False}}


def test_a_licence_that_one_owner_does_not_state_is_not_stated() -> None:
    assert RELEASES["av2t-sam2-s4"].licence is None
    assert RELEASES["evf-sam2"].licence == "Apache-2.0"


def test_a_release_combines_the_licences_of_its_files() -> None:
    parts = (HubFile("a/a", "a", "", "MIT"), HubFile("b/b", "b", "", "Apache-2.0"))
    assert Release("both", "", (*parts, *parts)).licence == "Apache-2.0 AND MIT"


def test_a_size_is_known_if_that_of_every_file_is_known() -> None:
    assert not RELEASES["av2t-sam2-s4"].size_is_known
    assert RELEASES["av2t-sam2-s4"].known_bytes == 690_000_000 + 605_000_000
    assert RELEASES["evf-sam2"].size_is_known


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
