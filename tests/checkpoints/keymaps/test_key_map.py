"""A key map converts in both directions, and accounts for every key."""

import pytest
import torch
from torch import Tensor

from avseg.checkpoints.keymaps.key_map import (
    KeyMap,
    drop,
    join,
    rename,
    repeat,
    same,
    split,
    transpose,
)
from avseg.errors import CheckpointError

TABLE = KeyMap(
    (
        rename("blocks.{i}.norm{k}.{part}", "layers.{i}.layer_norm{k}.{part}"),
        same("tokens.{name:iou|mask}.weight"),
        split("qkv.{part}", "query.{part}", "key.{part}", "value.{part}"),
        join(["points.0", "points.1"], "points"),
        repeat("frequencies", "image.frequencies", "prompt.frequencies"),
        transpose("projection", "projection.weight"),
        drop("memory.{rest}"),
    )
)
PUBLISHED = {
    "blocks.10.norm2.weight": torch.arange(3.0),
    "tokens.iou.weight": torch.arange(4.0),
    "qkv.weight": torch.arange(12.0).view(6, 2),
    "points.0": torch.zeros(1, 2),
    "points.1": torch.ones(1, 2),
    "frequencies": torch.arange(5.0),
    "projection": torch.arange(6.0).view(2, 3),
    "memory.layers.0.gamma": torch.ones(2),
}
OURS = {
    "layers.10.layer_norm2.weight": torch.arange(3.0),
    "tokens.iou.weight": torch.arange(4.0),
    "query.weight": torch.tensor([[0.0, 1], [2, 3]]),
    "key.weight": torch.tensor([[4.0, 5], [6, 7]]),
    "value.weight": torch.tensor([[8.0, 9], [10, 11]]),
    "points": torch.tensor([[0.0, 0], [1, 1]]),
    "image.frequencies": torch.arange(5.0),
    "prompt.frequencies": torch.arange(5.0),
    "projection.weight": torch.tensor([[0.0, 3], [1, 4], [2, 5]]),
}


def assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], values) for name, values in expected.items())


def test_published_tensors_are_converted_to_our_names_and_shapes() -> None:
    converted = TABLE.to_ours(PUBLISHED)
    assert_equal(converted.tensors, OURS)
    assert converted.unused.keys() == {"memory.layers.0.gamma"}


def test_an_import_can_be_exported_to_the_same_keys_and_tensors() -> None:
    unused = {"memory.layers.0.gamma": torch.ones(2)}
    assert_equal(TABLE.to_published(OURS) | unused, PUBLISHED)


def test_copied_constants_do_not_share_memory() -> None:
    tensors = TABLE.to_ours(PUBLISHED).tensors
    pointers = {tensors[f"{name}.frequencies"].data_ptr() for name in ("image", "prompt")}
    assert len(pointers) == 2


def test_prefixes_are_added_on_both_sides() -> None:
    table = TABLE.under("model.", "sam.")
    tensors = table.to_ours({"model.tokens.iou.weight": torch.ones(1)}).tensors
    assert tensors.keys() == {"sam.tokens.iou.weight"}


def test_the_first_matching_rule_applies() -> None:
    table = KeyMap((rename("norm1", "first"),)) + KeyMap((rename("norm{k}", "other{k}"),))
    tensors = table.to_ours({"norm1": torch.ones(1), "norm2": torch.ones(1)}).tensors
    assert tensors.keys() == {"first", "other2"}


def test_a_dot_in_a_name_is_a_dot() -> None:
    with pytest.raises(CheckpointError, match="1 keys are unexpected: pointsx0"):
        TABLE.to_ours({"pointsx0": torch.ones(1)})


@pytest.mark.parametrize("name", ["blocks.x.norm1.weight", "tokens.obj.weight", "", "frequencies2"])
def test_a_key_that_no_rule_matches_is_rejected(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"1 keys are unexpected: {name}"):
        TABLE.to_ours({name: torch.ones(1)})


def test_a_rule_needs_all_of_its_keys() -> None:
    with pytest.raises(CheckpointError, match=r"1 keys are missing: points\.1"):
        TABLE.to_ours({"points.0": torch.ones(1, 2)})
    with pytest.raises(CheckpointError, match=r"2 keys are missing: key\.bias, value\.bias"):
        TABLE.to_published({"query.bias": torch.ones(2)})


def test_a_file_that_fits_a_model_is_converted_for_it() -> None:
    assert_equal(TABLE.fit(PUBLISHED, OURS).tensors, OURS)


def test_all_mismatches_are_in_one_error() -> None:
    published = PUBLISHED | {"qkv.weight": torch.ones(3, 2), "noise": torch.ones(1)}
    del published["projection"], published["points.1"]
    with pytest.raises(
        CheckpointError,
        match=r"2 keys are missing: points\.1, projection; 1 keys are unexpected: noise; "
        r"1 keys are of another shape: qkv\.weight \(is \(3, 2\), should be \(6, 2\)\)",
    ):
        TABLE.fit(published, OURS)


def test_a_known_key_that_the_model_does_not_have_is_unexpected() -> None:
    model = {name: values for name, values in OURS.items() if name != "points"}
    with pytest.raises(CheckpointError, match=r"2 keys are unexpected: points\.0, points\.1$"):
        TABLE.fit(PUBLISHED, model)


def test_an_error_lists_three_of_many_keys() -> None:
    with pytest.raises(CheckpointError, match=r"8 keys are missing: (\S+, ){3}\.\.\.$"):
        TABLE.fit({}, OURS | {"tokens.mask.weight": torch.ones(1)})
