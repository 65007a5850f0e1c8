"""The name of a sound becomes a caption of its object."""

import pytest

from avseg.models.cascade.captions import object_caption
from avseg.models.vocabulary import avsbench_names


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("Dog", "dog"),
        ("a dog barking", "dog"),
        ("a dog barking in a park", "dog"),
        ("playing acoustic guitar", "acoustic guitar"),
        ("Male speech, man speaking", "man"),
        ("Fire engine, fire truck (siren)", "fire engine"),
        ("Motor vehicle (road)", "motor vehicle"),
        ("church bell ringing", "church bell"),
        ("key ring", "key ring"),
        ("Sewing machine", "sewing machine"),
        ("frying food", "frying food"),
        ("Typing", "typing"),
        ("the", "the"),
        ("(siren)", "(siren)"),
        ("собака", "собака"),
    ],
)
def test_the_verb_and_its_context_are_removed(name: str, caption: str) -> None:
    assert object_caption(name) == caption


def test_the_names_of_avsbench_are_captions_already() -> None:
    assert [object_caption(name) for name in avsbench_names()] == list(avsbench_names())
