"""What a model is asked, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError
from avseg.evaluation import prediction
from avseg.evaluation.conditions import mute
from avseg.evaluation.prediction import Prediction, predict, read_waveform
from avseg.models.av2t_sam import Av2tSamProcessor
from avseg.segmenter import Segmenter
from avseg.types import Clip


def test_probabilities_have_the_size_of_the_frames(split: AVSBench, segmenter: Segmenter) -> None:
    clip = split[0].clip
    said = predict(segmenter, clip, clip.audio[None])
    assert len(said.mask_logits) == 5
    probs = said.mask_probs((64, 64))
    assert probs.shape == (5, 64, 64)
    assert 0 <= float(probs.min()) <= float(probs.max()) <= 1


def test_the_clips_own_sound_plays_no_part(split: AVSBench, segmenter: Segmenter) -> None:
    clip, other = split[0].clip, split[1].clip.audio
    given = predict(segmenter, clip, other[None]).mask_logits
    torch.testing.assert_close(
        given, predict(segmenter, replace(clip, audio=other), other[None]).mask_logits
    )
    assert not torch.equal(given, predict(segmenter, clip, clip.audio[None]).mask_logits)


def test_without_sound_the_model_itself_is_asked(split: AVSBench, segmenter: Segmenter) -> None:
    clip = split[0].clip
    silence = mute(clip.audio[None])
    assert predict(segmenter, clip, silence).mask_probs((64, 64)).max() > 0
    assert not segmenter.segment_clip(replace(clip, audio=silence[0])).masks.any()


def test_frames_are_chosen_with_their_classes() -> None:
    numbers = torch.arange(3.0)
    said = Prediction(numbers.view(3, 1, 1), numbers.view(3, 1, 1, 1))
    chosen = said.of_frames(np.array([True, False, True]))
    assert chosen.mask_logits.flatten().tolist() == [0, 2]
    assert chosen.class_logits is not None
    assert chosen.class_logits.flatten().tolist() == [0, 2]
    assert replace(said, class_logits=None).of_frames(np.ones(3, bool)).class_logits is None


def test_the_sound_is_that_of_the_clip(split: AVSBench, segmenter: Segmenter) -> None:
    audio = read_waveform(segmenter, split, 1)
    np.testing.assert_array_equal(audio, split[1].clip.audio[None])


def test_names_are_asked_for_with_the_classes_alone(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = split[0].clip
    named = predict(segmenter, clip, clip.audio[None], CLASSES)
    asked: list[str] = []
    forward = type(segmenter.model).forward

    def predict_masks(self: nn.Module, **inputs: Tensor) -> object:
        asked.append("masks")
        return forward(self, **inputs)

    monkeypatch.setattr(type(segmenter.model), "predict_masks", predict_masks)
    alone = predict(segmenter, clip, clip.audio[None])
    torch.testing.assert_close(alone.mask_logits, named.mask_logits)
    predict(segmenter, clip, clip.audio[None], CLASSES)
    assert asked == ["masks"]


def test_who_asks_for_published_inputs_gets_the_seconds_of_the_file(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []
    processor = segmenter.processor
    assert isinstance(processor, Av2tSamProcessor)
    call = Av2tSamProcessor.__call__

    def remember(
        self: Av2tSamProcessor, clip: Clip, sounds: np.ndarray | None = None
    ) -> dict[str, Tensor]:
        assert sounds is not None
        given.append(sounds)
        shortened = np.ascontiguousarray(sounds[:, :2000])  # the smallest model holds no more
        return call(replace(self, inputs="whole_picture"), clip, shortened)

    monkeypatch.setattr(Av2tSamProcessor, "__call__", remember)
    published = replace(segmenter, processor=replace(processor, inputs="published"))
    clip, audio = split[0].clip, read_waveform(published, split, 0)
    assert audio.shape == (1, 5 * split.sample_rate)
    predict(published, clip, np.concatenate([audio, -audio]))
    (sounds,) = given
    assert sounds.shape == (5, 2 * split.sample_rate)
    np.testing.assert_array_equal(sounds[1, : split.sample_rate], audio[0].reshape(5, -1)[1])
    np.testing.assert_array_equal(sounds[1, split.sample_rate :], -audio[0].reshape(5, -1)[1])


@dataclass(frozen=True)
class Naming:
    """A processor of a model with a vocabulary, as far as the order of classes goes."""

    vocabulary: tuple[str, ...]

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Choose other names."""
        return replace(self, vocabulary=tuple(names))


CLASSES = ("background", "cat", "emergency-car", "wolf")


def ordered(segmenter: Segmenter, *names: str) -> list[float]:
    """Number the classes of a model with these names, and bring them into the data set's order."""
    logits = torch.arange(1.0 + len(names)).view(1, -1, 1, 1)
    if names:
        segmenter = replace(segmenter, processor=Naming(names))  # type: ignore[arg-type]
    values: list[float] = prediction._in_order(logits, segmenter, CLASSES).flatten().tolist()
    return values


def test_classes_of_a_vocabulary_are_found_by_their_names(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "vocabulary", property(lambda self: self.processor.vocabulary))
    assert ordered(segmenter, "emergency car", "cat") == [0, 2, 1, -65504]
    with pytest.raises(CheckpointError, match="tells 3 classes, among them 'dog'; the data set"):
        ordered(segmenter, "cat", "dog")


def test_a_model_of_fewer_classes_without_names_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(CheckpointError, match="tells 1 classes; the data set has 4, background"):
        ordered(segmenter)
