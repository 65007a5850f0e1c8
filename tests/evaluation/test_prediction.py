"""Predictions: of avseg's models, of own functions, and the order of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError
from avseg.evaluation.prediction import (
    FunctionPredictor,
    Prediction,
    SegmenterPredictor,
    load_predictor,
    open_split,
)
from avseg.evaluation.robustness import mute
from avseg.models.av2t_sam import Av2tSamProcessor
from avseg.segmenter import Segmenter, load_segmenter
from avseg.types import Clip
from tests.segmenters import save_random_auralsam2


def test_probabilities_have_the_size_of_the_frames(split: AVSBench, segmenter: Segmenter) -> None:
    clip = split[0].clip
    prediction = SegmenterPredictor(segmenter).predict(clip, clip.audio[None])
    assert len(prediction.mask_logits) == 5
    probs = prediction.mask_probs((64, 64))
    assert probs.shape == (5, 64, 64)
    assert 0 <= float(probs.min()) <= float(probs.max()) <= 1


def test_the_audio_of_the_clip_itself_is_not_used(split: AVSBench, segmenter: Segmenter) -> None:
    predict = SegmenterPredictor(segmenter).predict
    clip, other = split[0].clip, split[1].clip.audio
    given = predict(clip, other[None]).mask_logits
    replaced = predict(replace(clip, audio=other), other[None]).mask_logits
    torch.testing.assert_close(given, replaced)
    assert not torch.equal(given, predict(clip, clip.audio[None]).mask_logits)


def test_digital_silence_is_given_to_the_model(split: AVSBench, segmenter: Segmenter) -> None:
    clip = split[0].clip
    silence = mute(clip.audio[None])
    prediction = SegmenterPredictor(segmenter).predict(clip, silence)
    assert prediction.mask_probs((64, 64)).max() > 0
    assert not segmenter.segment_clip(replace(clip, audio=silence[0])).masks.any()


def test_frames_are_selected_with_their_classes() -> None:
    numbers = torch.arange(3.0)
    prediction = Prediction(numbers.view(3, 1, 1), numbers.view(3, 1, 1, 1))
    chosen = prediction.of_frames(np.array([True, False, True]))
    assert chosen.mask_logits.flatten().tolist() == [0, 2]
    assert chosen.class_logits is not None
    assert chosen.class_logits.flatten().tolist() == [0, 2]
    assert replace(prediction, class_logits=None).of_frames(np.ones(3, bool)).class_logits is None


def test_the_original_audio_is_that_of_the_clip(split: AVSBench, segmenter: Segmenter) -> None:
    audio = SegmenterPredictor(segmenter).read_audio(split, 1)
    np.testing.assert_array_equal(audio, split[1].clip.audio[None])


def test_a_model_of_two_channels_gets_left_and_right(data: Path, tmp_path: Path) -> None:
    predictor = SegmenterPredictor(load_segmenter(save_random_auralsam2(tmp_path / "a"), "cpu"))
    opened = open_split(data, "ms3", "test_seen", predictor.sample_rate, predictor.audio_channels)
    clip, audio = opened[0].clip, predictor.read_audio(opened, 0)
    assert audio.shape == (2, len(clip.audio))
    # The data set is mono, so both channels are equal; a condition has one channel.
    both, one = (predictor.predict(clip, each).mask_logits for each in (audio, audio[:1]))
    torch.testing.assert_close(both, one)
    other = predictor.predict(clip, np.stack([audio[0], -audio[0][::-1]])).mask_logits
    assert (other - both).abs().max() > 1e-4


def test_a_model_of_one_mask_has_no_classes(data: Path, tmp_path: Path) -> None:
    predictor = SegmenterPredictor(load_segmenter(save_random_auralsam2(tmp_path / "a"), "cpu"))
    clip = open_split(data, "ms3", "test_seen", predictor.sample_rate)[0].clip
    assert predictor.predict(clip, clip.audio[None], ("background", "dog")).class_logits is None


def test_classes_are_predicted_on_request_only(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = split[0].clip
    predict = SegmenterPredictor(segmenter).predict
    named = predict(clip, clip.audio[None], CLASSES)
    asked: list[str] = []
    forward = type(segmenter.model).forward

    def predict_masks(self: nn.Module, **inputs: Tensor) -> object:
        asked.append("masks")
        return forward(self, **inputs)

    monkeypatch.setattr(type(segmenter.model), "predict_masks", predict_masks)
    alone = predict(clip, clip.audio[None])
    torch.testing.assert_close(alone.mask_logits, named.mask_logits)
    predict(clip, clip.audio[None], CLASSES)
    assert asked == ["masks"]


def test_a_processor_with_published_inputs_gets_the_seconds_of_the_file(
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
    predictor = SegmenterPredictor(published)
    clip, audio = split[0].clip, predictor.read_audio(split, 0)
    assert audio.shape == (1, 5 * split.sample_rate)
    predictor.predict(clip, np.concatenate([audio, -audio]))
    (sounds,) = given
    assert sounds.shape == (5, 2 * split.sample_rate)
    np.testing.assert_array_equal(sounds[1, : split.sample_rate], audio[0].reshape(5, -1)[1])
    np.testing.assert_array_equal(sounds[1, split.sample_rate :], -audio[0].reshape(5, -1)[1])


@dataclass(frozen=True)
class Naming:
    """A processor with a vocabulary, reduced to what the order of classes needs."""

    vocabulary: tuple[str, ...]
    sample_rate: int = 8000
    audio_channels: int = 1
    window_s: float = 1.0

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Return a processor with other names."""
        return replace(self, vocabulary=tuple(names))


CLASSES = ("background", "cat", "emergency-car", "wolf")


def ordered(segmenter: Segmenter, *names: str) -> list[float]:
    """Return the numbers of a model's classes in the order of the data set."""
    logits = torch.arange(1.0 + len(names)).view(1, -1, 1, 1)
    if names:
        segmenter = replace(segmenter, processor=Naming(names))  # type: ignore[arg-type]
    predictor = SegmenterPredictor(segmenter)
    values: list[float] = predictor._reorder_classes(logits, CLASSES).flatten().tolist()
    return values


def test_classes_of_a_vocabulary_are_found_by_their_names(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "vocabulary", property(lambda self: self.processor.vocabulary))
    assert ordered(segmenter, "emergency car", "cat") == [0, 2, 1, -65504]
    with pytest.raises(CheckpointError, match="predicts 3 classes, among them 'dog'; the data set"):
        ordered(segmenter, "cat", "dog")


def test_fewer_classes_without_names_raise_an_error(segmenter: Segmenter) -> None:
    with pytest.raises(CheckpointError, match="predicts 1 classes; the data set has 4, background"):
        ordered(segmenter)


def constant(value: float, frames: int = 5) -> FunctionPredictor:
    return FunctionPredictor(lambda *_: np.full((frames, 4, 6), value), 8000)


def test_the_probabilities_of_an_own_function_are_kept_at_the_size_of_the_frames(
    split: AVSBench,
) -> None:
    clip = split[0].clip
    for value in (0.0, 0.25, 1.0):
        probs = constant(value).predict(clip, clip.audio[None]).mask_probs((64, 64))
        assert probs.shape == (5, 64, 64)
        torch.testing.assert_close(probs, torch.full_like(probs, value), atol=1e-6, rtol=0)


def test_an_own_function_gets_uint8_frames_and_mono_audio(split: AVSBench) -> None:
    given: list[tuple[object, str]] = []

    class Model(nn.Module):
        name = "mine"

        def forward(self, *inputs: np.ndarray) -> Tensor:
            given.extend((each.shape, each.dtype.name) for each in inputs)
            return torch.zeros(5, 2, 2)

    predictor = load_predictor(Model(), split)
    assert (predictor.name, predictor.sample_rate) == ("mine", 8000)
    predictor.predict(split[0].clip, predictor.read_audio(split, 0))
    assert given == [((5, 64, 64, 3), "uint8"), ((40000,), "float32")]


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (constant(-2.0), "values from -2 to -2, probabilities lie in .*apply the sigmoid"),
        (constant(float("nan")), "values from nan to nan"),
        (constant(0.5, frames=4), r"shape \(4, 4, 6\); it must be .* T = 5 frames"),
    ],
)
def test_an_own_function_that_returns_no_probabilities_raises_an_error(
    predictor: FunctionPredictor, message: str, split: AVSBench
) -> None:
    clip = split[0].clip
    with pytest.raises(ValueError, match=message):
        predictor.predict(clip, clip.audio[None])


def test_options_that_do_not_apply_to_the_model_raise_an_error(
    split: AVSBench, segmenter: Segmenter
) -> None:
    with pytest.raises(ValueError, match="device and dtype apply to a model that is given by name"):
        load_predictor(segmenter, split, device="cpu")
    with pytest.raises(ValueError, match="vocabulary applies to models of avseg"):
        load_predictor(lambda *_: np.zeros(1), split, vocabulary="dog")
    with pytest.raises(TypeError, match="model is a int; give a name, a folder"):
        load_predictor(3, split)  # type: ignore[arg-type]


def test_data_are_opened_with_the_sample_rate_of_the_model(split: AVSBench) -> None:
    assert open_split(split, sample_rate=8000) is split
    assert open_split(split, sample_rate=4000)[0].clip.sample_rate == 4000
    with pytest.raises(ValueError, match="leave the subset out"):
        open_split(split, "ms3")
    with pytest.raises(ValueError, match="a folder needs a subset; choose from s4, ms3"):
        open_split(split.folder)
