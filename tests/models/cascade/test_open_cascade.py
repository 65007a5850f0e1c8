"""The open cascade from end to end, with tiny random networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PeAudioFeatureExtractor

from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.errors import CheckpointError, PromptError
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.picture_inputs import PICTURE_TOKENIZER
from avseg.models.sound_inputs import SOUND_TOKENIZER
from avseg.segmenter import Segmenter, load_segmenter
from tests.models.cascade.test_processing import clip
from tests.models.factories import randomise
from tests.models.open_parts import (
    CLAP_NAMER,
    DINO_SEGMENTER,
    OPEN_CASCADE,
    OWLV2_SEGMENTER,
    SAM3_SEGMENTER,
    build_tokenizer,
)

NAMES = ("a dog barking", "cat", "church bell")


def config(segmenter: Any = DINO_SEGMENTER, **changes: Any) -> CascadeConfig:
    return OPEN_CASCADE.replace(segmenter_config=segmenter, **changes)


#: A cosine may have any sign with random weights.
LIGHT = config(OWLV2_SEGMENTER, namer_config=CLAP_NAMER, min_score=-1.0)


def processor(sizes: CascadeConfig, *names: str) -> CascadeProcessor:
    tokenizer = build_tokenizer()
    bare = CascadeProcessor.from_config(
        sizes,
        HubTokenizer(tokenizer, SOUND_TOKENIZER),
        HubTokenizer(tokenizer, PICTURE_TOKENIZER),
    )
    return bare.with_vocabulary(names or NAMES)


def build(sizes: CascadeConfig) -> Segmenter:
    torch.manual_seed(0)
    model = CascadeModel(sizes)
    randomise(model)
    return Segmenter(model.eval(), processor(sizes), "open")


@pytest.mark.parametrize(
    "sizes",
    [config(), config(OWLV2_SEGMENTER), config(SAM3_SEGMENTER), LIGHT],
    ids=["dino", "owlv2", "sam3", "light"],
)
def test_a_saved_cascade_loads_as_the_same(sizes: CascadeConfig, tmp_path: Path) -> None:
    built = build(sizes)
    built.model.save_pretrained(tmp_path)
    built.processor.save_pretrained(tmp_path)
    loaded = load_segmenter(tmp_path, "cpu")
    assert loaded.processor == built.processor
    before, after = built.segment_clip(clip()), loaded.segment_clip(clip())
    assert before.masks.any()
    np.testing.assert_array_equal(before.masks, after.masks)
    np.testing.assert_array_equal(before.scores, after.scores)
    assert [s.name for s in after.sources or ()] == [s.name for s in before.sources or ()]


def test_missing_weights_of_a_part_are_refused(tmp_path: Path) -> None:
    built = build(config())
    built.processor.save_pretrained(tmp_path)
    state = built.model.state_dict()
    # A renamed key, as in a newer file: without the check the text encoder would stay random.
    renamed = {
        name.replace("text_model.embeddings", "text_model.words"): v.clone()
        for name, v in state.items()
    }
    assert renamed.keys() != state.keys()
    built.model.save_pretrained(tmp_path, state_dict=renamed)
    with pytest.raises(
        CheckpointError, match=r"missing keys, first namer\.pe_audio\.text_model\.embed"
    ):
        load_segmenter(tmp_path, "cpu")


def test_a_sound_without_its_object_marks_nothing_and_is_no_source() -> None:
    hidden = build(config(replace_box(0.9999)))
    segmentation = hidden.segment_clip(clip())
    assert not segmentation.masks.any()
    assert not segmentation.scores.any()
    assert segmentation.sources == ()


def replace_box(min_box_score: float) -> Any:
    return DINO_SEGMENTER.replace(min_box_score=min_box_score)


def test_silence_prompts_nothing() -> None:
    silent = replace(clip(), audio=np.zeros_like(clip().audio))
    segmentation = build(config()).segment_clip(silent)
    assert not segmentation.masks.any()
    assert segmentation.sources == ()


def test_scores_are_averaged_around_the_middle_of_a_window() -> None:
    model: Any = build(config(smoothing_s=0.08)).model
    scores = torch.arange(10.0).view(1, 10, 1)
    model.namer.score_names = lambda *_: scores
    texts = {"sound_ids": torch.zeros(1, 1), "sound_mask": torch.ones(1, 1)}
    model._embed_names = lambda _: None
    assert model.score_audio({}, texts).item() == 4.5  # times 4 and 5
    model.config.smoothing_s = 0.0
    assert model.score_audio({}, texts).item() == 4.5  # the two times nearest to the middle
    model.config.smoothing_s = 0.16
    assert model.score_audio({}, texts).item() == 4.5
    scores[0, :3] = 30.0  # outside
    assert model.score_audio({}, texts).item() == 4.5


def test_audio_is_that_of_the_networks_feature_extractor() -> None:
    given = processor(config())(clip())["audio_values"][0]
    extractor = PeAudioFeatureExtractor(sampling_rate=8000, hop_length=320)
    expected = extractor(list(given.numpy()), sampling_rate=8000, return_tensors="pt")
    torch.testing.assert_close(given, expected["input_values"][:, 0])
    assert expected["padding_mask"].all()


def test_a_window_is_repeated_to_the_length_that_clap_takes() -> None:
    windows = torch.randn(2, 4000)
    features = processor(LIGHT).sound.prepare_windows(windows)["audio_features"]
    assert features.shape == (2, 1, 101, 16)
    assert features.dtype == torch.float32
    twice = processor(LIGHT).sound.prepare_windows(windows.repeat(1, 2))["audio_features"]
    torch.testing.assert_close(features, twice)
    loud = processor(LIGHT).sound.prepare_windows(10 * windows)["audio_features"]
    torch.testing.assert_close(loud, features + 20, atol=1e-3, rtol=0)  # decibels


def test_names_become_captions_of_their_objects() -> None:
    words = processor(config())
    inputs = words(clip())
    dog = build_tokenizer()("dog.")["input_ids"]
    assert inputs["prompt_ids"][0, : len(dog)].tolist() == dog
    assert inputs["sound_ids"][0].tolist() == build_tokenizer()("a dog barking")["input_ids"]


def test_punctuation_in_a_name_does_not_cut_the_caption() -> None:
    inputs = processor(config(), "St. dog?", "cat")(clip())
    stop = build_tokenizer()(".")["input_ids"][1]
    assert (inputs["prompt_ids"] == stop).sum(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the vocabulary is empty"),
        (["dog", "dog"], "each once"),
        (["犬"], "'犬' has no token that PE-A-Frame knows"),
        (["dog", " "], "' ' has no token that PE-A-Frame knows"),
        (["dog " * 20], "has 23 tokens for the detector, which takes 16"),
    ],
)
def test_invalid_names_raise_an_error(names: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        processor(config()).with_vocabulary(names)


def test_a_name_in_another_script_is_kept_if_the_tokenizer_knows_it() -> None:
    assert processor(config(), "Ü", "dog").vocabulary == ("Ü", "dog")


def test_a_missing_tokenizer_is_an_error_with_its_path(tmp_path: Path) -> None:
    processor(config()).save_pretrained(tmp_path)
    (tmp_path / SOUND_TOKENIZER).rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="sound_tokenizer: there is no such folder"):
        CascadeProcessor.from_pretrained(tmp_path)


def test_a_damaged_tokenizer_is_an_error_with_its_path(tmp_path: Path) -> None:
    processor(config()).save_pretrained(tmp_path)
    (tmp_path / PICTURE_TOKENIZER / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="picture_tokenizer: is not a usable tokenizer"):
        CascadeProcessor.from_pretrained(tmp_path)


def test_ten_thousand_names_are_embedded_in_pieces_and_once() -> None:
    names = [f"dog {i}" for i in range(10_000)]
    segmenter = build(config())
    many = replace(segmenter, processor=segmenter.processor.with_vocabulary(names))  # type: ignore[attr-defined]
    model: Any = many.model
    pieces: list[int] = []
    embed = model.namer.embed_names

    def counted(texts: Any) -> Any:
        pieces.append(len(texts["sound_ids"]))
        return embed(texts)

    model.namer.embed_names = counted
    many.segment_clip(clip())
    many.segment_clip(clip())
    assert pieces == [*[256] * 39, 16]


def test_an_unknown_input_is_an_error() -> None:
    segmenter = build(config())
    with pytest.raises(TypeError, match="no input pixels"):
        segmenter.model(**segmenter.processor(clip()), pixels=torch.zeros(1))
