"""All errors form one tree; a clip error carries the path of its video."""

import inspect
import pickle
import re

import pytest

from avseg import errors


def classes() -> list[type[Exception]]:
    members = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    return [member for member in members if issubclass(member, Exception)]


@pytest.mark.parametrize("error", classes())
def test_every_error_is_an_avseg_error_and_documented_in_the_tree(error: type[Exception]) -> None:
    assert issubclass(error, errors.AvsegError)
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__ or "")


def test_the_message_of_a_clip_error_begins_with_the_path() -> None:
    error = errors.EmptyVideoError("street.mp4", "has no frames.")
    assert str(error) == "street.mp4: has no frames."
    assert error.origin == "street.mp4"


@pytest.mark.parametrize("error", classes())
def test_every_error_survives_pickling_between_processes(error: type[Exception]) -> None:
    arguments = ("street.mp4", "is damaged.")
    sent = error(*arguments[: 2 if issubclass(error, errors.ClipError) else 1])
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    assert type(received) is error
    assert str(received) == str(sent)
    assert vars(received) == vars(sent)
