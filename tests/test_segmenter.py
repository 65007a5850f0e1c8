"""Tests of the segmenter: masks at the size of the video, in chunks, and empty in silence."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avseg.errors import (
    CheckpointError,
    DeviceError,
    NoAudioStreamError,
    PromptError,
)
from avseg.media import read_clip, stream_clips
from avseg.segmenter import Dtype, Segmenter, load_segmenter
from avseg.types import AudioTrackOption, Clip, Segmentation
from tests.media.videos import Track, level
from tests.models.factories import EVF_CONFIG
from tests.segmenters import (
    make_video,
    save_random_auralsam2,
    save_random_auralsam2_text,
    save_random_cascade,
    save_random_model,
    save_random_tavis,
    save_random_text_model,
    silence,
    tone,
)

DEMO = Path(__file__).parents[1] / "examples" / "demo.mp4"


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights, whose audio window is a quarter of a second."""
    return load_segmenter(save_random_model(tmp_path_factory.mktemp("models") / "random"), "cpu")


@pytest.fixture(scope="module")
def text_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that is prompted by texts."""
    folder = save_random_text_model(tmp_path_factory.mktemp("models") / "random_text")
    return load_segmenter(folder, "cpu")


@pytest.fixture
def unrunnable(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """A segmenter whose model raises an error in a forward pass."""

    def refuse(**_: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(segmenter.model, "forward", refuse)
    return segmenter


def test_every_frame_gets_a_mask_of_the_videos_own_size(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    segmentation = segmenter(make_video(tmp_path / "a.mp4", tone(2)))
    assert segmentation.masks.shape == (20, 48, 64)
    np.testing.assert_allclose(segmentation.frame_times, np.arange(20) / 10)
    assert (segmentation.scores > 0).all()
    assert segmentation.model == "random"


def test_a_rate_takes_fewer_frames(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    assert segmenter(video, frames_per_second=1).frame_times.tolist() == [0.9, 1.9]


def test_a_higher_threshold_marks_less(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    low, high = (segmenter(video, 1, threshold=t).masks for t in (0.01, 0.99))
    assert low.sum() > high.sum()
    assert not (high & ~low).any()


def test_chunks_have_at_most_16_frames_and_join_to_the_whole(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    whole = segmenter(video)
    chunks = list(segmenter.stream(video))
    assert [len(chunk.masks) for chunk in chunks] == [16, 4]
    np.testing.assert_array_equal(np.concatenate([p.masks for p in chunks]), whole.masks)


def test_a_clip_in_memory_gets_the_same_scores_as_the_chunks(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    clip = read_clip(video, None, segmenter.processor.sample_rate)
    whole = segmenter.segment_clip(clip)
    np.testing.assert_allclose(whole.scores, segmenter(video).scores, atol=1e-5)


def test_a_silent_video_gets_empty_masks_without_a_forward_pass(
    unrunnable: Segmenter, tmp_path: Path
) -> None:
    segmentation = unrunnable(make_video(tmp_path / "a.mp4", silence(2)))
    assert len(segmentation.masks) == 20
    assert not segmentation.masks.any()
    assert not segmentation.scores.any()


def test_only_frames_in_which_a_sound_is_present_are_segmented(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    late = replace(tone(1), start_s=1.0)
    scores = segmenter(make_video(tmp_path / "a.mkv", late)).scores
    # Windows reach 0.125 s to each side of a frame's middle, and so beyond the onset.
    assert (scores > 0).tolist() == [False] * 10 + [True] * 10


def test_audio_windows_stay_centred_where_frames_are_as_far_apart_as_windows_are_long(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    late = replace(tone(1), start_s=1.0)
    video = make_video(tmp_path / "a.mkv", late)
    # The window of the third frame is from 1 - 0.025 s to 1.225 s at 4 frames per 1.1 s.
    slow, clip = 1 / 0.275, read_clip(video, 1 / 0.275, segmenter.processor.sample_rate)
    seen: list[torch.Tensor] = []
    with segmenter.model.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["audio_values"]), with_kwargs=True
    ):
        segmenter(video, slow)
        segmenter.segment_clip(clip)
    windows = torch.from_numpy(clip.audio_windows(0.25))
    audible = windows[windows.square().mean(dim=1) > 1e-7]
    for values in seen:
        torch.testing.assert_close(values[0], audible, rtol=0, atol=0)


def test_windows_are_moved_alike_in_chunks_of_any_size(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = replace(tone(1), start_s=0.63)
    video = make_video(tmp_path / "a.mkv", late)
    whole = segmenter(video)
    for size in (1, 3, 7):
        monkeypatch.setattr("avseg.segmenter.FRAMES_PER_FORWARD", size)
        chunked = segmenter(video)
        assert whole.audible is not None
        assert chunked.audible is not None
        np.testing.assert_array_equal(chunked.audible, whole.audible)
        np.testing.assert_allclose(chunked.scores, whole.scores, atol=1e-5)


@pytest.mark.parametrize(("level_dbfs", "is_segmented"), [(-72.0, False), (-68.0, True)])
def test_silence_ends_at_minus_70_decibels(
    level_dbfs: float, is_segmented: bool, segmenter: Segmenter, tmp_path: Path
) -> None:
    quiet = Track(level(10 ** (level_dbfs / 20), 2), codec="pcm_f32le")
    segmentation = segmenter(make_video(tmp_path / "a.mkv", quiet), frames_per_second=1)
    assert bool(segmentation.scores.any()) == is_segmented


def test_a_video_without_audio_is_an_error_or_accepted_as_silent(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    with pytest.raises(NoAudioStreamError, match="--silent-ok"):
        segmenter(video)
    assert not segmenter(video, silent_ok=True).masks.any()


@pytest.mark.parametrize(
    ("audio_track", "audible"), [(1, False), (2, True), ("mix", True), ("auto", True)]
)
def test_the_audio_track_decides_which_frames_are_segmented(
    audio_track: AudioTrackOption, audible: bool, segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), tone(1), seconds=1)
    segmentation = segmenter(video, 2, audio_track=audio_track)
    assert segmentation.audible is not None
    assert segmentation.audible.all() == segmentation.audible.any() == audible


def test_a_threshold_outside_0_to_1_is_an_error(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 50"):
        segmenter(make_video(tmp_path / "a.mp4", tone(2)), threshold=50)


@pytest.mark.parametrize("device", ["cpus", "cuda:77"])
def test_a_missing_device_is_an_error(device: str, segmenter: Segmenter) -> None:
    del segmenter
    with pytest.raises(DeviceError, match=rf"'{device}' is not available; choose one of auto, cpu"):
        load_segmenter(device=device)


def test_texts_are_marked_in_a_video_without_audio(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    segmentation = text_segmenter.with_texts("a dog", "the bus")(make_video(tmp_path / "mute.mp4"))
    assert segmentation.masks.shape == (20, 48, 64)
    assert (segmentation.scores > 0).all()
    dog, bus = segmentation.sources or ()
    assert (dog.name, bus.name) == ("a dog", "the bus")
    assert dog.masks.any()
    np.testing.assert_array_equal(segmentation.masks, dog.masks | bus.masks)
    np.testing.assert_array_equal(segmentation.scores, np.maximum(dog.scores, bus.scores))


def test_silence_does_not_change_the_mask_of_a_text(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    dog = text_segmenter.with_texts("dog")
    quiet, loud = (
        dog(make_video(tmp_path / name, sound), frames_per_second=1)
        for name, sound in (("quiet.mp4", silence(2)), ("loud.mp4", tone(2)))
    )
    assert quiet.masks.any()
    np.testing.assert_array_equal(quiet.masks, loud.masks)


def test_a_text_gets_the_same_mask_alone_and_with_another_text(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "mute.mp4")
    alone = text_segmenter.with_texts("bus")(video, 1)
    _, bus = text_segmenter.with_texts("dog and cat", "bus")(video, 1).sources or ()
    np.testing.assert_allclose(bus.scores, alone.scores, atol=1e-5)


def test_many_texts_need_little_more_memory_than_one(text_segmenter: Segmenter) -> None:
    times_s = np.arange(4.0)
    frames = np.zeros((4, 400, 600, 3), np.uint8)
    clip = Clip("a.mp4", frames, times_s, times_s, np.zeros(16000, np.float32), 0.0, 16000)

    def peak(*texts: str) -> int:
        segmenter = text_segmenter.with_texts(*texts)
        tracemalloc.start()
        segmentation = segmenter.segment_clip(clip, threshold=0.01)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert all(source.masks.any() for source in segmentation.sources or ())
        return highest

    words = ("dog", "cat", "bus", "a dog", "a cat", "a bus", "the dog", "the cat", "the bus")
    peak("dog")  # what is allocated once
    masks = clip.frames.size // 3
    assert peak(*words) - peak("dog") < masks  # not eight times as many


def test_more_texts_do_not_make_a_batch_larger(
    text_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[int] = []
    forward = text_segmenter.model.forward

    def watched(**inputs: torch.Tensor) -> object:
        prompts.append(len(inputs["image_index"]))
        return forward(**inputs)

    monkeypatch.setattr(text_segmenter.model, "forward", watched)
    text_segmenter.with_texts("dog", "cat", "bus")(make_video(tmp_path / "mute.mp4"))
    assert prompts == [15, 15, 15, 3, 12]  # for chunks of 16 and 4 frames


def test_a_model_that_uses_the_audio_takes_no_text(segmenter: Segmenter) -> None:
    assert segmenter.with_texts() is segmenter
    with pytest.raises(
        PromptError, match=r"random marks sounding objects and takes no text, got 'dog'"
    ):
        segmenter.with_texts("dog")


def test_a_text_model_needs_a_text(text_segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="there is no text"):
        text_segmenter.with_texts()
    with pytest.raises(PromptError, match="there is no text"):
        text_segmenter(make_video(tmp_path / "a.mp4"))


@pytest.fixture(scope="module")
def naming_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that names sounding objects: dog, cat, bus."""
    return load_segmenter(save_random_cascade(tmp_path_factory.mktemp("models") / "naming"), "cpu")


def test_sounding_objects_are_named(naming_segmenter: Segmenter, tmp_path: Path) -> None:
    segmentation = naming_segmenter(make_video(tmp_path / "a.mp4", tone(2)))
    sources = segmentation.sources or ()
    assert 2 <= len(sources) <= 3
    assert {source.name for source in sources} <= {"dog", "cat", "bus"}
    assert np.sum([source.scores > 0 for source in sources], axis=0).tolist() == [2] * 20
    best = np.max([source.scores for source in sources], axis=0)
    np.testing.assert_array_equal(segmentation.scores, best)


def test_silence_has_no_named_source(naming_segmenter: Segmenter, tmp_path: Path) -> None:
    segmentation = naming_segmenter(make_video(tmp_path / "a.mp4", silence(2)))
    assert segmentation.sources == ()
    assert not segmentation.masks.any()


def test_names_come_from_the_vocabulary(naming_segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    (bus,) = naming_segmenter.with_vocabulary("bus")(video, 1).sources or ()
    assert bus.name == "bus"
    assert naming_segmenter.with_vocabulary() is naming_segmenter


def test_a_model_without_names_takes_no_vocabulary(segmenter: Segmenter) -> None:
    with pytest.raises(PromptError, match="random does not name sounding objects"):
        segmenter.with_vocabulary("dog")


def test_a_processor_of_another_model_is_an_error(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    folder = save_random_text_model(tmp_path / "mixed")
    larger = replace(text_segmenter.processor, sam_size=2 * EVF_CONFIG.sam_config.image_size)  # type: ignore[type-var]
    larger.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"the processor is .*sam_size=128.*sam_size=64"):
        load_segmenter(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model."""
    return save_random_model(tmp_path_factory.mktemp("models") / "random")


def test_low_memory_gives_the_same_masks_a_frame_at_a_time(folder: Path, tmp_path: Path) -> None:
    segmenter = load_segmenter(folder, "cpu", memory="low")
    frames: list[int] = []
    segmenter.model.register_forward_pre_hook(
        lambda _, __, given: frames.append(given["pixel_values_sam"].shape[1]), with_kwargs=True
    )
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    low, normal = segmenter(video), load_segmenter(folder, "cpu")(video)
    assert frames == [1] * 10
    np.testing.assert_array_equal(low.masks, normal.masks)
    np.testing.assert_allclose(low.scores, normal.scores, atol=1e-5)


def test_frames_whose_audio_is_fused_stay_together_in_low_memory(tmp_path: Path) -> None:
    folder = save_random_auralsam2(tmp_path / "model")
    normal, low = (load_segmenter(folder, "cpu", memory) for memory in ("normal", "low"))
    frames: list[int] = []
    low.model.register_forward_pre_hook(
        lambda _, __, given: frames.append(given["pixel_values"].shape[1]), with_kwargs=True
    )
    video = make_video(tmp_path / "a.mp4", tone(2), seconds=2)
    np.testing.assert_array_equal(low(video).masks, normal(video).masks)
    assert frames == [16, 4]


def test_a_model_of_two_channels_gets_those_of_a_stereo_film(tmp_path: Path) -> None:
    segmenter = load_segmenter(save_random_auralsam2(tmp_path / "model"), "cpu")
    given: list[torch.Tensor] = []
    segmenter.model.register_forward_pre_hook(
        lambda _, __, inputs: given.append(inputs["audio_values"][0]), with_kwargs=True
    )
    left, right = tone(1).samples, 0.1 * tone(1).samples
    stereo = Track(np.concatenate([left, right]), layout="stereo")
    for name, track in (("stereo", stereo), ("mono", tone(1)), ("quiet", Track(right))):
        segmenter(make_video(tmp_path / f"{name}.mkv", track, seconds=1), 2)
    found, mono, quiet = given
    assert found.shape[1] == 2
    torch.testing.assert_close(found[:, 0], mono[:, 0])
    torch.testing.assert_close(found[:, 1], quiet[:, 0], atol=1e-2, rtol=0)  # 16 bits
    torch.testing.assert_close(mono[:, 0], mono[:, 1])


def test_a_model_of_text_and_audio_marks_each_text_in_the_audible_frames(tmp_path: Path) -> None:
    segmenter = load_segmenter(save_random_auralsam2_text(tmp_path / "model"), "cpu")
    segmenter = segmenter.with_texts("the left dog", "guitar")
    frames: list[int] = []
    segmenter.model.register_forward_pre_hook(
        lambda _, __, given: frames.append(given["pixel_values"].shape[1]), with_kwargs=True
    )
    half = Track(np.concatenate([tone(1).samples, level(0, 2)], axis=1))
    video = make_video(tmp_path / "a.mp4", half, seconds=3)
    found = segmenter(video, 1)
    assert found.sources is not None
    assert [source.name for source in found.sources] == ["the left dog", "guitar"]
    assert found.audible is not None
    assert found.audible.tolist() == [True, False, False]
    assert found.masks[0].any()
    assert not found.masks[1:].any()
    # The fused frames of a clip stay together, however many texts there are.
    segmenter(make_video(tmp_path / "b.mp4", tone(1), seconds=1))
    assert frames == [1, 10]
    with pytest.raises(NoAudioStreamError):
        segmenter(make_video(tmp_path / "c.mp4", seconds=1))


@pytest.mark.parametrize("save", [save_random_text_model, save_random_cascade])
def test_low_memory_works_for_every_family(save: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    normal, low = (load_segmenter(folder, "cpu", memory) for memory in ("normal", "low"))
    if save is save_random_text_model:
        normal, low = normal.with_texts("dog"), low.with_texts("dog")
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    np.testing.assert_array_equal(low(video, 2).masks, normal(video, 2).masks)
    assert not any(values.requires_grad for values in low.model.parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_gives_about_the_same_masks(dtype: Dtype) -> None:
    clip = read_clip(DEMO, frames_per_second=1, sample_rate=16000)
    exact = load_segmenter(device="cpu").segment_clip(clip)
    rough = load_segmenter(device="cpu", dtype=dtype).segment_clip(clip)
    shared = (exact.masks & rough.masks).sum() / (exact.masks | rough.masks).sum()
    # Rounding depends on the processor: 0.948 for one without instructions for bfloat16.
    assert 0.93 < shared < 1
    np.testing.assert_allclose(rough.scores, exact.scores, atol=0.05)


@pytest.mark.parametrize(
    "save",
    [save_random_model, save_random_text_model, save_random_cascade, save_random_auralsam2],
)
def test_every_family_computes_in_lower_precision(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = save(tmp_path / "model")
    normal, low = (
        load_segmenter(folder, "cpu", memory, dtype="bfloat16") for memory in ("normal", "low")
    )
    if save is save_random_text_model:
        normal, low = normal.with_texts("dog"), low.with_texts("dog")
    outputs: list[Any] = []
    normal.model.register_forward_hook(lambda _, __, out: outputs.append(out))
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    # Alone and in a batch, frames are rounded differently.
    assert (low(video, 2).masks == normal(video, 2).masks).mean() > 0.99
    assert outputs[0].mask_logits.dtype == torch.bfloat16
    assert all(values.dtype == torch.float32 for values in normal.model.parameters())


def test_an_unknown_dtype_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype must be float32, bfloat16, float16, got 'int8'"):
        load_segmenter(folder, "cpu", dtype="int8")  # type: ignore[arg-type]


def test_low_memory_needs_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avseg.segmenter._choose_device", lambda _: torch.device("cuda"))
    with pytest.raises(DeviceError, match=r"'low' .* the device is cuda; choose the device cpu"):
        load_segmenter(folder, "auto", memory="low")


def test_a_smaller_image_size_keeps_the_masks_at_the_videos_size(
    folder: Path, tmp_path: Path
) -> None:
    segmenter = load_segmenter(folder, "cpu", image_size=32)
    sides: list[int] = []
    segmenter.model.register_forward_pre_hook(
        lambda _, __, given: sides.append(given["pixel_values_sam"].shape[-1]), with_kwargs=True
    )
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    assert segmenter(video).masks.shape == (10, 48, 64)
    assert set(sides) == {32}


def test_an_image_size_that_is_no_multiple_of_32_is_an_error(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"image_size must be a multiple of 32.*got 50"):
        load_segmenter(folder, "cpu", image_size=50)


def test_settings_are_read_from_the_model_and_cannot_be_set(folder: Path) -> None:
    segmenter = load_segmenter(folder, "cpu")
    assert (segmenter.dtype, segmenter.image_size) == ("float32", None)
    for setting in ({"dtype": "bfloat16"}, {"image_size": 32}, {"device": "cuda"}):
        with pytest.raises(TypeError, match=next(iter(setting))):
            replace(segmenter, **setting)
    segmenter.model.product_dtype = torch.bfloat16
    assert segmenter.dtype == "bfloat16"


def test_image_size_is_none_if_it_is_the_checkpoints(folder: Path) -> None:
    own: int = load_segmenter(folder, "cpu").model.config.sam_config.image_size
    sizes = [load_segmenter(folder, "cpu", image_size=size).image_size for size in (32, own)]
    assert sizes == [32, None]


def test_a_loaded_segmenter_has_the_hash_of_its_weights(segmenter: Segmenter) -> None:
    assert segmenter.weights_sha256 is not None
    assert len(segmenter.weights_sha256) == 64


@pytest.fixture(scope="module")
def memory_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with a random TAViS, which has a memory bank."""
    folder = save_random_tavis(tmp_path_factory.mktemp("models") / "remembering")
    return load_segmenter(folder, "cpu")


def test_the_memory_bank_passes_from_chunk_to_chunk(
    memory_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    whole = memory_segmenter(video, 4)
    assert whole.sources
    monkeypatch.setattr("avseg.segmenter.FRAMES_PER_FORWARD", 3)  # 8 frames in three chunks
    chunks = list(memory_segmenter.stream(video, 4))
    assert [len(chunk.masks) for chunk in chunks] == [3, 3, 2]
    cut_up = replace(memory_segmenter, frames_per_forward=2)(video, 4)
    for other in (Segmentation.join(chunks), cut_up):
        assert [s.name for s in other.sources or ()] == [s.name for s in whole.sources]
        assert (other.masks == whole.masks).mean() > 0.999  # but for rounding
    alone = [memory_segmenter.segment_clip(clip) for clip in stream_clips(video, 4, 8000, 1)]
    assert (Segmentation.join(alone).masks != whole.masks).any()


def test_a_model_with_queries_names_its_sources(
    memory_segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    (only,) = memory_segmenter.with_vocabulary("bus")(video, 1).sources or ()
    assert only.name == "bus"
    assert only.masks.any()
