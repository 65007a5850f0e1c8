"""A video goes in, masks of what sounds come out: at its size, in pieces, and never in silence."""

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
    NotAVideoError,
    PromptError,
    TruncatedVideoError,
)
from avseg.media import read_clip, stream_clips
from avseg.segmenter import Dtype, Segmenter, SegmentOptions, load_segmenter, segment_to_folder
from avseg.types import Segmentation
from tests.media.videos import Track, cut, level
from tests.models.factories import EVF_CONFIG
from tests.segmenters import (
    make_video,
    save_random_cascade,
    save_random_model,
    save_random_tavis,
    save_random_text_model,
    silence,
    tone,
)

OPTIONS = SegmentOptions(frames_per_second=5)
DEMO = Path(__file__).parents[1] / "examples" / "demo.mp4"


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights, which needs a quarter second of sound for a frame."""
    return load_segmenter(save_random_model(tmp_path_factory.mktemp("models") / "random"), "cpu")


@pytest.fixture(scope="module")
def by_text(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that is prompted by texts."""
    folder = save_random_text_model(tmp_path_factory.mktemp("models") / "random_text")
    return load_segmenter(folder, "cpu")


@pytest.fixture
def deaf(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """A segmenter whose model must not be asked."""

    def refuse(**_: object) -> None:
        raise AssertionError("the model was asked")

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


def test_pieces_have_at_most_16_frames_and_join_to_the_whole(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    whole = segmenter(video)
    pieces = list(segmenter.stream(video))
    assert [len(piece.masks) for piece in pieces] == [16, 4]
    np.testing.assert_array_equal(np.concatenate([p.masks for p in pieces]), whole.masks)


def test_a_clip_read_at_once_gives_what_the_pieces_give(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    clip = read_clip(video, None, segmenter.processor.sample_rate)
    whole = segmenter.segment_clip(clip)
    np.testing.assert_allclose(whole.scores, segmenter(video).scores, atol=1e-5)


def test_a_silent_video_marks_nothing_without_asking_the_model(
    deaf: Segmenter, tmp_path: Path
) -> None:
    segmentation = deaf(make_video(tmp_path / "a.mp4", silence(2)))
    assert len(segmentation.masks) == 20
    assert not segmentation.masks.any()
    assert not segmentation.scores.any()


def test_only_frames_with_sound_around_them_are_asked_about(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    late = replace(tone(1), start_s=1.0)
    scores = segmenter(make_video(tmp_path / "a.mkv", late)).scores
    # Windows reach 0.125 s to each side of a frame's middle, here at 0.05 s, 0.15 s, ...
    assert (scores > 0).tolist() == [False] * 9 + [True] * 11


@pytest.mark.parametrize(("level_dbfs", "is_heard"), [(-72.0, False), (-68.0, True)])
def test_silence_ends_at_minus_70_decibels(
    level_dbfs: float, is_heard: bool, segmenter: Segmenter, tmp_path: Path
) -> None:
    quiet = Track(level(10 ** (level_dbfs / 20), 2), codec="pcm_f32le")
    segmentation = segmenter(make_video(tmp_path / "a.mkv", quiet), frames_per_second=1)
    assert bool(segmentation.scores.any()) == is_heard


def test_a_video_without_sound_is_refused_or_taken_for_silent(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    with pytest.raises(NoAudioStreamError, match="--silent-ok"):
        segmenter(video)
    assert not segmenter(video, silent_ok=True).masks.any()


def test_a_threshold_that_is_no_probability_is_refused(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 50"):
        segmenter(make_video(tmp_path / "a.mp4", tone(2)), threshold=50)


@pytest.mark.parametrize("device", ["cpus", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(device: str, segmenter: Segmenter) -> None:
    del segmenter
    with pytest.raises(DeviceError, match=rf"no device '{device}' here; give auto, cpu"):
        load_segmenter(device=device)


def test_texts_are_marked_in_a_video_without_sound(by_text: Segmenter, tmp_path: Path) -> None:
    segmentation = by_text.with_texts("a dog", "the bus")(make_video(tmp_path / "mute.mp4"))
    assert segmentation.masks.shape == (20, 48, 64)
    assert (segmentation.scores > 0).all()
    dog, bus = segmentation.sources or ()
    assert (dog.name, bus.name) == ("a dog", "the bus")
    assert dog.masks.any()
    np.testing.assert_array_equal(segmentation.masks, dog.masks | bus.masks)
    np.testing.assert_array_equal(segmentation.scores, np.maximum(dog.scores, bus.scores))


def test_silence_does_not_hide_what_a_text_names(by_text: Segmenter, tmp_path: Path) -> None:
    dog = by_text.with_texts("dog")
    quiet, loud = (
        dog(make_video(tmp_path / name, sound), frames_per_second=1)
        for name, sound in (("quiet.mp4", silence(2)), ("loud.mp4", tone(2)))
    )
    assert quiet.masks.any()
    np.testing.assert_array_equal(quiet.masks, loud.masks)


def test_a_text_gets_the_same_mask_beside_another(by_text: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "mute.mp4")
    alone = by_text.with_texts("bus")(video, 1)
    _, bus = by_text.with_texts("dog and cat", "bus")(video, 1).sources or ()
    np.testing.assert_allclose(bus.scores, alone.scores, atol=1e-5)


def test_many_texts_do_not_make_a_batch_larger(
    by_text: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[int] = []
    forward = by_text.model.forward

    def watched(**inputs: torch.Tensor) -> object:
        prompts.append(len(inputs["image_index"]))
        return forward(**inputs)

    monkeypatch.setattr(by_text.model, "forward", watched)
    by_text.with_texts("dog", "cat", "bus")(make_video(tmp_path / "mute.mp4"))
    assert prompts == [15, 15, 15, 3, 12]  # of pieces of 16 and 4 frames


def test_a_model_that_listens_takes_no_text(segmenter: Segmenter) -> None:
    assert segmenter.with_texts() is segmenter
    with pytest.raises(PromptError, match=r"random marks what sounds and takes no text, got 'dog'"):
        segmenter.with_texts("dog")


def test_a_model_that_takes_texts_needs_one(by_text: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="there is no text"):
        by_text.with_texts()
    with pytest.raises(PromptError, match="there is no text"):
        by_text(make_video(tmp_path / "a.mp4"))


@pytest.fixture(scope="module")
def naming(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that names what sounds: dog, cat, bus."""
    return load_segmenter(save_random_cascade(tmp_path_factory.mktemp("models") / "naming"), "cpu")


def test_what_sounds_is_named(naming: Segmenter, tmp_path: Path) -> None:
    segmentation = naming(make_video(tmp_path / "a.mp4", tone(2)))
    sources = segmentation.sources or ()
    assert 2 <= len(sources) <= 3
    assert {source.name for source in sources} <= {"dog", "cat", "bus"}
    assert np.sum([source.scores > 0 for source in sources], axis=0).tolist() == [2] * 20
    best = np.max([source.scores for source in sources], axis=0)
    np.testing.assert_array_equal(segmentation.scores, best)


def test_silence_has_no_name(naming: Segmenter, tmp_path: Path) -> None:
    segmentation = naming(make_video(tmp_path / "a.mp4", silence(2)))
    assert segmentation.sources == ()
    assert not segmentation.masks.any()


def test_another_vocabulary_gives_other_names(naming: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    (bus,) = naming.with_vocabulary("bus")(video, 1).sources or ()
    assert bus.name == "bus"
    assert naming.with_vocabulary() is naming


def test_another_vocabulary_writes_the_result_again(naming: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(2))
    done = [
        segment_to_folder(one, video, tmp_path / "out", OPTIONS).was_there
        for one in (naming, naming, naming.with_vocabulary("bus"))
    ]
    assert done == [False, True, False]


def test_a_model_that_names_nothing_takes_no_vocabulary(segmenter: Segmenter) -> None:
    with pytest.raises(PromptError, match="random does not name what sounds"):
        segmenter.with_vocabulary("dog")


def test_the_parts_of_two_models_are_refused(by_text: Segmenter, tmp_path: Path) -> None:
    folder = save_random_text_model(tmp_path / "mixed")
    larger = replace(by_text.processor, sam_size=2 * EVF_CONFIG.sam_config.image_size)  # type: ignore[type-var]
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


@pytest.mark.parametrize("save", [save_random_text_model, save_random_cascade])
def test_every_family_can_leave_its_weights_in_the_file(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
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
    assert 0.97 < shared < 1
    np.testing.assert_allclose(rough.scores, exact.scores, atol=0.05)


@pytest.mark.parametrize("save", [save_random_model, save_random_text_model, save_random_cascade])
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


def test_another_precision_writes_the_folder_again(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    done = []
    precisions: list[Dtype] = ["float32", "bfloat16", "bfloat16"]
    for dtype in precisions:
        segmenter = load_segmenter(folder, "cpu", dtype=dtype)
        done.append(segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_there)
    assert done == [False, False, True]


def test_a_precision_that_nothing_computes_in_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype must be float32, bfloat16, float16, got 'int8'"):
        load_segmenter(folder, "cpu", dtype="int8")  # type: ignore[arg-type]


def test_low_memory_is_for_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avseg.segmenter._choose_device", lambda _: torch.device("cuda"))
    with pytest.raises(DeviceError, match=r"'low' .* the device is cuda; choose the device cpu"):
        load_segmenter(folder, "auto", memory="low")


def test_smaller_pictures_are_seen_and_masks_keep_the_videos_size(
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


def test_a_side_that_the_stages_do_not_divide_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"image_size must be a multiple of 32.*got 50"):
        load_segmenter(folder, "cpu", image_size=50)


def test_another_picture_size_writes_the_folder_again(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    for image_size in (None, 32):
        segmenter = load_segmenter(folder, "cpu", image_size=image_size)
        assert not segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_there


def test_a_loaded_segmenter_knows_the_hash_of_its_weights(segmenter: Segmenter) -> None:
    assert segmenter.weights_sha256 is not None
    assert len(segmenter.weights_sha256) == 64


def test_a_folder_is_written_once(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    first = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    second = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    assert (first.was_there, second.was_there) == (False, True)
    assert first.summary == second.summary
    assert first.summary.frame_count == 10


@pytest.mark.parametrize(
    "changed", [{"threshold": 0.4}, {"frames_per_second": 2}, {"overlay": False}]
)
def test_other_options_write_it_again(
    changed: dict[str, Any], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(2))
    segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    options = replace(OPTIONS, **changed)
    assert not segment_to_folder(segmenter, video, tmp_path / "out", options).was_there


def test_other_texts_write_it_again(by_text: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4")
    dog, bus = (by_text.with_texts(text) for text in ("dog", "bus"))
    done = [
        segment_to_folder(one, video, tmp_path / "out", OPTIONS).was_there
        for one in (dog, dog, bus)
    ]
    assert done == [False, True, False]


def test_a_finished_silent_video_is_finished_without_silent_ok_too(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    segment_to_folder(segmenter, video, tmp_path / "out", replace(OPTIONS, silent_ok=True))
    assert segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_there


def test_progress_rises_to_the_end(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(4), seconds=4)
    shares: list[float] = []
    segment_to_folder(segmenter, video, tmp_path / "out", SegmentOptions(), shares.append)
    assert shares == pytest.approx([1.5 / 4, 3.1 / 4, 3.9 / 4], abs=0.01)


def make_truncated(folder: Path) -> Path:
    return cut(make_video(folder / "a.mkv", silence(4), seconds=4), 0.5)


def make_soundless(folder: Path) -> Path:
    return make_video(folder / "a.mp4")


def make_text(folder: Path) -> Path:
    path = folder / "a.mp4"
    path.write_text("no video")
    return path


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (make_truncated, TruncatedVideoError),
        (make_soundless, NoAudioStreamError),
        (make_text, NotAVideoError),
    ],
)
def test_a_video_that_cannot_be_read_to_its_end_leaves_nothing(
    make: Callable[[Path], Path], error: type[Exception], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make(tmp_path)
    with pytest.raises(error):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions())
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())


def test_an_interrupt_leaves_nothing(segmenter: Segmenter, tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt(share)

    video = make_video(tmp_path / "a.mp4", silence(2))
    with pytest.raises(KeyboardInterrupt):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions(), interrupt)
    assert not list((tmp_path / "out").iterdir())


def test_a_result_must_be_able_to_name_its_weights(segmenter: Segmenter, tmp_path: Path) -> None:
    unsaved = Segmenter(segmenter.model, segmenter.processor, "new", torch.device("cpu"))
    with pytest.raises(ValueError, match="'new' was never saved; save it"):
        segment_to_folder(unsaved, tmp_path / "a.mp4", tmp_path / "out", OPTIONS)


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A TAViS with random weights."""
    folder = save_random_tavis(tmp_path_factory.mktemp("models") / "remembering")
    return load_segmenter(folder, "cpu")


def test_memory_goes_from_piece_to_piece(
    remembering: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    whole = remembering(video, 4)
    assert whole.sources
    monkeypatch.setattr("avseg.segmenter.FRAMES_PER_FORWARD", 3)  # 8 frames in three pieces
    pieces = list(remembering.stream(video, 4))
    assert [len(piece.masks) for piece in pieces] == [3, 3, 2]
    cut_up = replace(remembering, frames_per_forward=2)(video, 4)
    for other in (Segmentation.join(pieces), cut_up):
        assert [s.name for s in other.sources or ()] == [s.name for s in whole.sources]
        assert (other.masks == whole.masks).mean() > 0.999  # but for rounding
    alone = [remembering.segment_clip(clip) for clip in stream_clips(video, 4, 8000, 1)]
    assert (Segmentation.join(alone).masks != whole.masks).any()


def test_the_sources_of_a_model_with_queries_have_names(
    remembering: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    (only,) = remembering.with_vocabulary("bus")(video, 1).sources or ()
    assert only.name == "bus"
    assert only.masks.any()
