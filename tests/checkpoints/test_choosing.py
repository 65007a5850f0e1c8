"""A model is chosen by the kind of video and of masks, the licence and the memory."""

from dataclasses import replace

import pytest

from avseg.checkpoints import choosing
from avseg.checkpoints.catalog import find_listing, list_models
from avseg.checkpoints.choosing import Wish, choose_models, estimate_memory
from avseg.checkpoints.model_folder import Masks

FILM_BY_TEXT = Wish(is_filmed=True, masks="by text")


def names(wish: Wish) -> list[str]:
    return [listing.name for listing in choose_models(wish)]


def test_drawings_are_for_the_packaged_models() -> None:
    assert names(Wish(is_filmed=False, masks="one")) == ["av2t-sam-small"]
    assert names(Wish(is_filmed=False, masks="by name")) == ["tavis-small"]


def test_the_chosen_models_keep_the_order_of_the_list() -> None:
    order = [listing.name for listing in list_models()]
    chosen = names(FILM_BY_TEXT)
    assert "evf-sam2" in chosen
    assert chosen == sorted(chosen, key=order.index)


def test_commercial_use_needs_a_licence_that_is_stated_and_allows_it() -> None:
    wish = Wish(is_filmed=True, masks="by name")
    assert "tavis-s4" in names(wish)
    assert "tavis-s4" not in names(replace(wish, is_commercial=True))
    assert "av2t-sam2-s4" not in names(Wish(is_filmed=True, masks="one", is_commercial=True))


def test_a_model_that_needs_more_memory_is_not_chosen() -> None:
    need = estimate_memory(find_listing("evf-sam2"))
    assert need is not None
    assert "evf-sam2" in names(replace(FILM_BY_TEXT, memory_bytes=need))
    assert "evf-sam2" not in names(replace(FILM_BY_TEXT, memory_bytes=need - 1))


def test_a_model_of_unknown_size_may_fit() -> None:
    assert "evf-sam2-multitask" in names(replace(FILM_BY_TEXT, memory_bytes=1))


def test_the_memory_is_that_of_the_weights_as_float32_and_of_the_work() -> None:
    published, packaged = find_listing("evf-sam"), find_listing("tavis-small")
    assert estimate_memory(published) == published.known_bytes + choosing._WORKING_BYTES
    assert estimate_memory(packaged) == 2 * packaged.known_bytes + choosing._WORKING_BYTES
    assert estimate_memory(replace(published, size_is_known=False)) is None


@pytest.mark.parametrize("masks", ["one", "by name", "by text"])
def test_no_backbone_is_chosen(masks: Masks) -> None:
    assert "imagebind-huge" not in names(Wish(is_filmed=True, masks=masks))
