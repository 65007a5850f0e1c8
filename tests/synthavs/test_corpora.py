"""Pre-training corpora: captions agree with images and audio."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avseg.errors import DatasetError
from avseg.synthavs.captions import END, MAX_WORDS, NOTHING, WORDS
from avseg.synthavs.categories import CATEGORIES, SEEN_STYLES
from avseg.synthavs.corpora import (
    AudioImageTextCorpus,
    AudioTextCorpus,
    ImageTextCorpus,
    TextPromptCorpus,
    load_sound_bank,
)
from avseg.synthavs.labelled import LabelledScene, draw_labelled_scene
from avseg.synthavs.sounds import SAMPLE_RATE

SIDE = 48


def prompts() -> TextPromptCorpus:
    return TextPromptCorpus(60, SEEN_STYLES, SIDE, prompts=4, seed=0)


def test_a_category_is_visible_from_two_pixels_in_a_thousand() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[0, :20], labels[1, :19], labels[2, :10], labels[3, :10] = 1, 2, 3, 4
    picture = LabelledScene(np.zeros((100, 100, 3), np.uint8), labels, ("dog", "cat", "cow", "cow"))
    visible = picture.visible()
    assert set(visible) == {"dog", "cow"}
    assert visible["cow"].sum() == 20


def test_scenes_have_one_to_four_objects_and_sometimes_two_of_one_category() -> None:
    drawn = [draw_labelled_scene(np.random.default_rng(i), SEEN_STYLES, SIDE) for i in range(120)]
    assert {len(picture.categories) for picture in drawn} == {1, 2, 3, 4}
    assert any(len(set(p.categories)) < len(p.categories) for p in drawn)
    assert all(p.labels.max() <= len(p.categories) for p in drawn)


def test_an_item_depends_only_on_the_seed_and_its_index() -> None:
    first, again = prompts(), prompts()
    _ = first[3]
    assert all(torch.equal(first[7][key], again[7][key]) for key in again[7])
    assert not torch.equal(first[7]["images"], first[8]["images"])
    other = TextPromptCorpus(60, SEEN_STYLES, SIDE, prompts=4, seed=1)
    assert not torch.equal(first[7]["images"], other[7]["images"])


def test_image_and_text_have_the_same_categories() -> None:
    corpus = ImageTextCorpus(20, SEEN_STYLES, SIDE, seed=0)
    assert len(corpus) == 20
    for i in range(len(corpus)):
        item = corpus[i]
        picture = draw_labelled_scene(np.random.default_rng((0, i)), SEEN_STYLES, SIDE)
        named = {CATEGORIES[n] for n in torch.nonzero(item["present"][:-1]).flatten().tolist()}
        assert item["images"].shape == (3, SIDE, SIDE)
        assert item["images"].dtype == torch.uint8
        assert named == set(picture.visible())
        assert item["present"][-1] == float(not named)


def test_a_target_is_the_mask_of_the_categories_of_its_caption() -> None:
    corpus = prompts()
    for i in range(len(corpus)):
        item = corpus[i]
        picture = draw_labelled_scene(np.random.default_rng((0, i)), SEEN_STYLES, SIDE)
        visible = picture.visible()
        for caption, target in zip(item["captions"], item["targets"], strict=True):
            named = [mask for c, mask in visible.items() if WORDS.index(c) in caption.tolist()]
            expected = np.any(named, axis=0) if named else np.zeros((SIDE, SIDE), bool)
            assert torch.equal(target, torch.from_numpy(expected))


def test_classes_are_categories_counted_from_one() -> None:
    item = prompts()[5]
    picture = draw_labelled_scene(np.random.default_rng((0, 5)), SEEN_STYLES, SIDE)
    for category, mask in picture.visible().items():
        assert set(item["classes"][torch.from_numpy(mask)].tolist()) == {
            1 + CATEGORIES.index(category)
        }
    assert (item["classes"] == 0).any()


def test_captions_name_one_or_several_categories_and_absent_ones() -> None:
    corpus = prompts()
    items = [corpus[i] for i in range(len(corpus))]
    empty = [not target.any() for item in items for target in item["targets"]]
    assert 0.05 < np.mean(empty) < 0.4
    lengths = {
        int((caption > 1).sum()) for item in items for caption in item["captions"]
    }  # 0 is padding, 1 "nothing"
    assert lengths == set(range(MAX_WORDS + 1))


def bank(level: float) -> dict[str, np.ndarray]:
    """Return recordings in which each category is one tone."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return {
        category: (np.sin(2 * np.pi * 100 * (i + 1) * time) * level * 32767).astype(np.int16)[None]
        for i, category in enumerate(CATEGORIES)
    }


def test_audio_and_text_have_the_same_categories() -> None:
    corpus = AudioTextCorpus(40, bank(level=0.5), seed=0)
    counts = set()
    for i in range(len(corpus)):
        item = corpus[i]
        audio = item["audio_values"]
        assert audio.shape == (SAMPLE_RATE,)
        assert audio.abs().max() <= 1
        amplitudes = torch.fft.rfft(audio).abs()[100 : 100 * len(CATEGORIES) + 1 : 100]
        heard = amplitudes > 0.005 * SAMPLE_RATE / 2
        assert torch.equal(heard.float(), item["present"][:-1]), i
        assert item["present"][-1] == float(not heard.any())
        counts.add(int(heard.sum()))
    assert counts == {0, 1, 2, 3}


def test_a_sound_bank_is_synthesized_once_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load_sound_bank(tmp_path, count=1, seconds=1)
    monkeypatch.setattr("avseg.synthavs.corpora.synthesize", None)
    read = load_sound_bank(tmp_path, count=1, seconds=1)
    assert set(made) == set(CATEGORIES)
    for category in CATEGORIES:
        assert made[category].shape == (1, SAMPLE_RATE)
        assert (made[category] == read[category]).all()
        assert np.abs(made[category]).max() > 100
    assert len(list(tmp_path.iterdir())) == len(CATEGORIES)


@pytest.mark.parametrize(
    "values", [np.zeros((1, 3), np.int16), np.array([{}]), np.zeros((1, SAMPLE_RATE))], ids=repr
)
def test_a_damaged_recording_is_an_error_that_names_it(
    values: npt.NDArray[Any], tmp_path: Path
) -> None:
    path = tmp_path / f"{next(iter(CATEGORIES))}_train_1x1s.npy"
    np.save(path, values, allow_pickle=True)
    with pytest.raises(DatasetError, match=rf"{path.name}: is damaged .*; remove it"):
        load_sound_bank(tmp_path, count=1, seconds=1)


def test_the_banks_of_training_and_test_parameters_differ(tmp_path: Path) -> None:
    train, test = (
        load_sound_bank(tmp_path, 1, parameter_split, seconds=1)
        for parameter_split in ("train", "test")
    )
    assert all((train[category] != test[category]).any() for category in CATEGORIES)


def together(seed: int = 0) -> AudioImageTextCorpus:
    """Return images, and audio whose samples are the category's index, to recognize mixtures."""
    sounds = {c: np.full((1, SAMPLE_RATE), 300 * n, np.int16) for n, c in enumerate(CATEGORIES, 1)}
    return AudioImageTextCorpus(80, SEEN_STYLES, SIDE, sounds, seed)


def test_texts_name_visible_or_audible_categories_and_end() -> None:
    corpus = together()
    assert len(corpus) == 80
    lengths = set()
    for i in range(len(corpus)):
        item = corpus[i]
        there = ((item["shown"] + item["heard"]) > 0).nonzero().flatten().tolist()
        known = {[*CATEGORIES, NOTHING][number] for number in there}
        words = [WORDS[number] for number in item["texts"]]
        end = words.index(END)
        lengths.add(end)
        assert set(words[:end]) <= known | {NOTHING}
        assert set(words[end + 1 :]) <= {WORDS[0]}
    assert lengths == {1, 2, 3, 4, 5, 6}


def test_most_audible_categories_are_visible() -> None:
    corpus = together()
    items = [corpus[i] for i in range(len(corpus))]
    heard = torch.stack([item["heard"][:-1] for item in items]).bool()
    shown = torch.stack([item["shown"][:-1] for item in items]).bool()
    share = (heard & shown).sum() / heard.sum()
    assert 0.4 < share < 0.9


def test_silent_audio_has_the_label_nothing() -> None:
    corpus = together()
    for item in (corpus[i] for i in range(len(corpus))):
        assert item["heard"][-1] == float(not item["heard"][:-1].any())
        assert item["audio_values"].shape == (SAMPLE_RATE,)
        assert item["audio_values"].abs().max() <= 1


def test_some_images_show_one_category_on_black() -> None:
    corpus = together()
    items = [corpus[i] for i in range(len(corpus))]
    cut = [item for item in items if not item["images"][:, item["classes"] == 0].any()]
    assert 0.15 < len(cut) / len(items) < 0.45
    for item in cut:
        shown = item["shown"][:-1].nonzero().flatten() + 1
        assert set(item["classes"].flatten().tolist()) - {0} == set(shown.tolist())
    assert any(item["shown"][:-1].sum() == 1 for item in cut)


def test_an_item_of_all_three_depends_only_on_the_seed_and_its_index() -> None:
    first, again, other = together(), together(), together(seed=1)
    _ = first[3]
    assert all(torch.equal(first[7][key], again[7][key]) for key in again[7])
    assert not torch.equal(first[7]["images"], other[7]["images"])


def test_corpora_of_version_3_have_other_images_and_audio_with_the_same_keys() -> None:
    sounds = bank(level=0.5)
    for corpora in (
        [TextPromptCorpus(4, SEEN_STYLES, SIDE, 2, seed=0, generator_version=v) for v in (2, 3)],
        [AudioTextCorpus(4, sounds, seed=0, generator_version=v) for v in (2, 3)],
        [
            AudioImageTextCorpus(4, SEEN_STYLES, SIDE, sounds, seed=0, generator_version=v)
            for v in (2, 3)
        ],
    ):
        old, new = (corpus[1] for corpus in corpora)
        assert {key: value.shape for key, value in old.items()} == {
            key: value.shape for key, value in new.items()
        }
        key = "images" if "images" in old else "audio_values"
        assert not torch.equal(old[key], new[key])
