"""Configuration of TAViS."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from avseg.models.tavis import TavisConfig
from tests.models.tavis_factories import TAVIS


def test_the_default_is_the_paper_and_the_preset_the_released_code() -> None:
    paper, released = TavisConfig(), TavisConfig.release_faithful()
    assert paper.sam_config.image_size == released.sam_config.image_size == 224
    assert (paper.stage1_mode, released.stage1_mode) == ("chained", "last_only")
    assert (paper.stage2_pairing, released.stage2_pairing) == ("interleave", "tile")
    assert (paper.detach_pseudo_text, released.detach_pseudo_text) == (False, True)
    assert (paper.readout, released.readout) == ("last", "argmax")
    assert (paper.memory_at_test, released.memory_at_test) == (True, False)
    assert paper.a_scale == released.a_scale == 20.0
    assert paper.memory_config.presence_cut == -2.0


def test_the_memory_of_the_small_model_is_at_most_a_training_clip() -> None:
    memory = TavisConfig.tiny().memory_config
    assert memory.frames <= 5
    assert memory.pointers <= 5


def test_a_configuration_survives_saving() -> None:
    assert TavisConfig(**TAVIS.to_dict()).to_dict() == TAVIS.to_dict()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("prompt", "dog", "prompt must have {name} in it once, got 'dog'"),
        ("blur_kernel", 4, "blur_kernel must be odd and positive, got 4"),
        ("thresholds", {"min_score": 1.0}, "min_score must be from 0 to below 1, got 1.0"),
        ("thresholds", {"candidates": -1}, "candidates must be at least 0, got -1"),
        ("thresholds", {"min_similarity": 1.5}, "min_similarity must be from -1 to 1, got 1.5"),
        ("thresholds", {"min_agreement": -2.0}, "min_agreement must be from -1 to 1, got -2.0"),
        ("query_heads", 7, "query_heads must divide the audio tower's width 32, got 7"),
    ],
)
def test_impossible_options_raise_an_error(option: str, value: object, message: str) -> None:
    with pytest.raises(StrictDataclassError) as caught:
        TAVIS.replace(**{option: value})
    assert message in str(caught.value.__cause__ or caught.value)


@pytest.mark.parametrize(
    ("option", "place"),
    [("a2t_weight", "losses.a2t_weight"), ("min_score", "thresholds.min_score")],
)
def test_an_option_outside_its_group_raises_an_error_that_names_the_group(
    option: str, place: str
) -> None:
    with pytest.raises(TypeError, match=rf"no option {option} \(did you mean {place}\?\)"):
        TAVIS.replace(**{option: 0.5})
