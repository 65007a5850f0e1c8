"""TAViS trains on clips with a class for each pixel."""

from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avseg.backbones.imagebind.tokenizing import ImageBindTokenizer
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import Checkpoint
from avseg.datasets import AVSBench
from avseg.datasets.layout import LAYOUTS
from avseg.errors import TrainingError
from avseg.models.tavis import TavisConfig, TavisProcessor
from avseg.models.tavis.naming import TavisOutput
from avseg.synthavs.avs_v3 import SEMANTIC_COLUMNS, semantic_cells, write_metadata
from avseg.synthavs.captions import WORDS
from avseg.synthavs.categories import CATEGORIES, SEEN
from avseg.synthavs.classes import SemanticSplit
from avseg.synthavs.contents import ClipContents
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.training import trainer
from avseg.training.clips import FrameIndex, OffScreenPair
from avseg.training.parts import Part
from avseg.training.recipe import Recipe, change_recipe, load_recipe, recipe_names
from avseg.training.run import run_recipe
from avseg.training.tasks.building import build_task
from avseg.training.tasks.options import TextBridge
from avseg.training.tasks.task import TaskInputs
from avseg.training.tasks.tavis import (
    SemanticClip,
    SemanticClips,
    SemanticFrames,
    SemanticMaskMeasure,
    collate,
    drop_specks,
    find_tokenizer,
    frames_of,
    renumber,
)
from avseg.training.validation import validate
from tests.training import tiny

MODEL: dict[str, Any] = {
    "sam_config": tiny.MODEL["sam_config"] | {"prompt_dim": 64},
    "memory_config": {"layers": 1, "ffn_dim": 16},
    "imagebind_config": {
        "vision": {
            "image_size": 32,
            "patch_size": 16,
            "stem_channels": [],
            "width": 16,
            "blocks": 1,
            "heads": 2,
        },
        "audio": {"stem_channels": [8, 8, 8, 8], "width": 16, "blocks": 1, "heads": 2},
        "text": {"width": 16, "blocks": 1, "heads": 2},
        "dim": 16,
    },
    "decomposition_layers": 1,
    "adapter_input_dim": 8,
    "adapter_dim": 8,
    "imagebind_size": 32,
    "blur_kernel": 11,
    "losses": {"match_points": 32},
}


@pytest.fixture(scope="module")
def v3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set like AVS-V3: three clips in each split, one shot of two unseen clips."""
    root = tmp_path_factory.mktemp("v3")
    folder = write_synthavs(
        root, SynthavsOptions(subset="avss", clips=3, evaluation_clips=3, side=64), workers=1
    ).folder
    shot, rest = AVSBench(root, "v3", "unseen").entries
    for split, clip in (("1_shot_train", shot), ("1_shot_test", rest)):
        table = folder / LAYOUTS["v3"].split_metadata[split]
        write_metadata(table, SEMANTIC_COLUMNS, [semantic_cells(clip, "v3_1_shot")])
    return root


def recipe(name: str = "tavis", **changes: Any) -> Recipe:
    data = {"train": ["ms3/train"], "measured": ["s4/val"]} | changes
    return Recipe(name, "text-bridge", data, tiny.TRAINER, model=MODEL)


@pytest.fixture(scope="module")
def processor() -> TavisProcessor:
    config = TavisConfig.tiny(**MODEL)
    tokenizer = ImageBindTokenizer.from_words(WORDS[:-1])
    return TavisProcessor.from_config(config, tokenizer).with_vocabulary(CATEGORIES)


def clips_of(data: Path, name: str, processor: TavisProcessor) -> SemanticClips:
    subset, split = name.split("/")
    opened = SemanticSplit.open(AVSBench(data, subset, split, processor.sample_rate))  # type: ignore[arg-type]
    return SemanticClips([opened], processor)


def test_a_run_saves_a_model_that_can_be_loaded_and_names_classes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # bfloat16 on every processor, also on one without instructions for it.
    monkeypatch.setattr(trainer, "computes_bf16", lambda _: True)
    in_bf16 = replace(recipe(), trainer=tiny.TRAINER | {"bf16": True})
    metrics = run_recipe(in_bf16, tmp_path / "run", data)
    assert {"eval_s4_val_j", "eval_s4_val_loss"} <= set(metrics)
    model, loaded = load_checkpoint(Checkpoint(name="run", folder=tmp_path / "run"))
    assert isinstance(loaded, TavisProcessor)
    assert loaded.vocabulary == CATEGORIES
    clip = AVSBench(data, "ms3", "val", loaded.sample_rate)[0]
    with torch.no_grad():
        out = model(**loaded(clip.clip))
    assert out.class_probs.shape[-1] == 1 + len(CATEGORIES)


def test_only_frames_up_to_the_last_annotated_one_are_read(
    data: Path, processor: TavisProcessor
) -> None:
    single, several = (clips_of(data, f"{s}/train", processor)[0] for s in ("s4", "ms3"))
    assert (len(single.annotated), len(several.annotated)) == (1, 5)
    assert single.annotated.all()


def test_every_annotated_frame_can_be_an_example_of_its_own(
    data: Path, processor: TavisProcessor
) -> None:
    clips = clips_of(data, "ms3/train", processor)
    frames = SemanticFrames(clips)
    assert len(frames) == 5 * len(clips)
    for number, name in ((7, "targets"), (7, "pixel_values"), (7, "audio_values")):
        alone, whole = getattr(frames[number], name), getattr(clips[1], name)
        assert torch.equal(alone[0], whole[2])


def test_a_pair_has_the_audio_of_another_frame_and_an_empty_ground_truth(
    data: Path, processor: TavisProcessor
) -> None:
    clips = clips_of(data, "s4/val", processor)
    frames = SemanticFrames(clips, [OffScreenPair(visual=FrameIndex(0, 1), audio=FrameIndex(0, 3))])
    pair = frames[len(frames) - 1]
    assert torch.equal(pair.pixel_values[0], clips[0].pixel_values[1])
    assert torch.equal(pair.audio_values[0], clips[0].audio_values[3])
    assert clips[0].targets[1].any()
    assert not pair.targets.any()


def test_off_screen_pairs_need_single_frames(data: Path, tmp_path: Path) -> None:
    config = TavisConfig.tiny(**MODEL)
    inputs = TaskInputs(config, {}, data, tmp_path / "sounds")
    with pytest.raises(TrainingError, match=r"off_screen=0\.5: .* set data\.frames_alone=true"):
        TextBridge(("ms3/train",), ("s4/val",), off_screen=0.5)
    options = TextBridge(("ms3/train", "s4/train"), ("s4/val",), frames_alone=True, off_screen=0.5)
    train = build_task(options, inputs).train
    assert isinstance(train, SemanticFrames)
    assert 0 < len(train.pairs) <= 0.5 * len(train.indices)


def test_short_clips_are_padded_with_frames_that_are_not_annotated(
    data: Path, processor: TavisProcessor
) -> None:
    clips = [clips_of(data, f"{s}/train", processor)[0] for s in ("s4", "ms3")]
    batch = collate(clips)
    assert batch["annotated"].tolist() == [[True] + [False] * 4, [True] * 5]
    assert batch["pixel_values"].shape[:2] == (2, 5)
    assert torch.equal(batch["targets"][1], clips[1].targets)


def test_class_numbers_are_converted_to_those_of_the_vocabulary() -> None:
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    renumbered = renumber(labels, ("background", "dog", "cat", "bus"), ("bus", "dog"))
    assert renumbered.tolist() == [[0, 2, 0, 1]]


def test_classes_with_few_pixels_become_background() -> None:
    labels = np.zeros((2, 10, 10), np.uint8)
    labels[:, 0] = 1  # 20 pixels in all
    labels[:, 1], labels[0, 2, 0] = 2, 2  # 21
    kept = drop_specks(labels)
    assert set(np.unique(kept)) == {0, 2}
    assert (kept == 2).sum() == 21


def test_training_can_use_fewer_names() -> None:
    options = validate(recipe(classes=list(SEEN))).task
    assert options.classes == SEEN  # type: ignore[attr-defined]


def test_clips_with_other_names_are_not_trained_on(
    data: Path, processor: TavisProcessor, tmp_path: Path
) -> None:
    entries = AVSBench(data, "s4", "train").entries
    kept = str(entries[0].category)
    clips = clips_of(data, "s4/train", processor.with_vocabulary([kept]))
    assert [entries[i].category for _, i in clips.indices] == [
        entry.category for entry in entries if entry.category == kept
    ]
    nothing = recipe(train=["s4/train"], classes=["telephone"])
    with pytest.raises(TrainingError, match="every clip of s4/train has a class other than tel"):
        run_recipe(nothing, tmp_path / "run", data)


def test_the_audio_of_pairs_is_of_the_clips_that_are_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[ClipContents] = []

    def draw_off_screen_frames(
        _: SemanticClips, contents: list[ClipContents], __: float
    ) -> list[OffScreenPair[FrameIndex]]:
        told.extend(contents)
        return []

    monkeypatch.setattr("avseg.training.tasks.tavis.draw_off_screen_frames", draw_off_screen_frames)
    kept = str(AVSBench(data, "s4", "train").entries[1].category)
    inputs = TaskInputs(TavisConfig.tiny(**MODEL), {}, data, tmp_path / "sounds")
    options = TextBridge(("s4/train",), (), classes=(kept,), frames_alone=True, off_screen=0.5)
    frames = build_task(options, inputs).train
    assert isinstance(frames, SemanticFrames)
    assert [contents.sounding for contents in told] == [{kept}] * len(frames.clips)


def test_joined_data_sets_are_evaluated_as_one(data: Path, tmp_path: Path) -> None:
    both = "s4/test_seen+s4/test_zero_shot"
    trained = recipe(seen=list(SEEN), measured=[], tested=[both])
    metrics = run_recipe(trained, tmp_path / "run", data)
    prefix = "eval_s4_test_seen+s4_test_zero_shot"
    kinds = [f"{prefix}_miou_{kind}" for kind in ("seen", "unseen", "harmonic")]
    assert {f"{prefix}_j", *kinds} <= set(metrics)


def test_few_shot_training_starts_from_the_zero_shot_model(v3: Path, tmp_path: Path) -> None:
    """The packaged recipes of AVS-V3, with the smallest model and SynthAVS's categories."""

    def train(name: str, **changes: Any) -> dict[str, float]:
        packaged = load_recipe(name)
        options = tiny.TRAINER | {"max_steps": 1, "per_device_train_batch_size": 1}
        tiny_one = replace(packaged, sizes="small", model=MODEL, trainer=options, **changes)
        return run_recipe(tiny_one, tmp_path / name, v3)

    data = load_recipe("tavis_v3_zero_shot").data | {"classes": list(SEEN)}
    zero = train("tavis_v3_zero_shot", data=data, start_from={})
    assert {"eval_v3_seen_val_j", "eval_v3_unseen_j", "eval_v3_unseen_miou_unseen"} <= set(zero)
    one = train("tavis_v3_1_shot")
    assert {"eval_v3_1_shot_test_j", "eval_v3_1_shot_test_miou"} <= set(one)
    assert not any("seen" in name for name in one)  # now it chooses among all


def test_the_categories_of_v3_are_those_of_its_training_clips(v3: Path) -> None:
    """As in AVS-V3, no training clip has an unseen category."""
    split = SemanticSplit.open(AVSBench(v3, "v3", "seen_train"))
    assert split.within(SEEN) == list(range(len(split)))
    unseen = SemanticSplit.open(AVSBench(v3, "v3", "unseen"))
    assert unseen.within(SEEN) == []


@pytest.mark.parametrize("shots", [1, 3, 5])
def test_each_number_of_shots_has_its_clips(shots: int) -> None:
    packaged = load_recipe(f"tavis_v3_{shots}_shot")
    assert packaged.data["train"] == [f"v3/{shots}_shot_train"]
    assert packaged.data["tested"] == [f"v3/{shots}_shot_test"]
    assert packaged.start_from["model"] == "tavis_v3_zero_shot"
    assert packaged.trainer["num_train_epochs"] == 10
    validate(packaged)


def test_the_tokenizer_is_that_of_the_loaded_towers(tmp_path: Path) -> None:
    beside = ImageBindTokenizer.from_words(("<pad>", "unicorn"))
    beside.save(tmp_path)
    towers, other = Part(tmp_path / "model.safetensors"), Part(tmp_path / "else" / "weights")
    assert find_tokenizer([other, towers]) == beside
    assert find_tokenizer([other]) == ImageBindTokenizer.from_words(WORDS[:-1])


def test_pixel_values_are_converted_back_to_images(data: Path, processor: TavisProcessor) -> None:
    clip = clips_of(data, "s4/val", processor)[0]
    frames = frames_of(clip)
    assert frames.shape == (5, 64, 64, 3)
    assert frames.dtype == np.uint8


def perfect() -> tuple[TavisOutput, dict[str, torch.Tensor]]:
    """A frame with a dog in its upper half, segmented by the first query; and a padding frame."""
    targets = torch.zeros(1, 2, 64, 64, dtype=torch.uint8)
    targets[:, :, :32] = 1
    logits = torch.full((1, 2, 1, 16, 16), -9.0)
    logits[..., :8, :] = 9.0
    out = TavisOutput(
        loss=torch.tensor(1.0),
        mask_logits=logits[:, :, 0],
        query_logits=logits,
        class_probs=torch.tensor([0.1, 0.9, 0.0]).expand(1, 2, 1, 3),
        sem_fusion="max",
    )
    return out, {"targets": targets, "annotated": torch.tensor([[True, False]])}


def test_a_correct_mask_with_the_correct_name_scores_one() -> None:
    measure = SemanticMaskMeasure()
    measure.update(*perfect())
    scores = measure.compute()
    assert scores["j"] == pytest.approx(1.0, abs=0.05)
    assert scores["miou"] == pytest.approx(1.0, abs=0.05)


def test_a_wrong_name_lowers_the_score_of_its_class() -> None:
    out, batch = perfect()
    batch["targets"] = batch["targets"] * 2
    one, other = SemanticMaskMeasure(), SemanticMaskMeasure()
    one.update(out, batch)
    other.update(*perfect())
    assert one.compute()["miou"] == 0.0
    assert one.compute()["j"] > 0.9
    one.merge(other)
    assert one.compute()["miou"] == pytest.approx(0.25, abs=0.02)  # dog in 1 of 2, cat never


def test_seen_and_unseen_classes_are_averaged_separately() -> None:
    measure = SemanticMaskMeasure(("dog", "cat"), seen=["dog"])
    measure.update(*perfect())
    assert measure.compute()["miou_seen"] == pytest.approx(1.0, abs=0.05)
    assert "miou_unseen" not in measure.compute()  # none occurs
    out, batch = perfect()
    batch["targets"] = batch["targets"] * 2
    measure.update(out, batch)
    scores = measure.compute()
    assert scores["miou_seen"] == pytest.approx(0.5, abs=0.02)  # it is marked where cat is true
    assert (scores["miou_unseen"], scores["miou_harmonic"]) == (0.0, 0.0)


def test_the_harmonic_mean_is_below_the_mean() -> None:
    measure = SemanticMaskMeasure(("dog", "cat"), seen=["dog"])
    measure.update(*perfect())
    measure.intersection[1:3] = torch.tensor([6.0, 2.0])
    measure.union[1:3] = 10.0
    assert measure.compute()["miou_harmonic"] == pytest.approx(2 * 0.6 * 0.2 / 0.8)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("tavis")])
def test_packaged_recipes_are_valid(name: str) -> None:
    packaged = load_recipe(name)
    validate(packaged)
    TavisConfig(**packaged.model) if packaged.sizes == "published" else TavisConfig.tiny(
        **packaged.model
    )
    classes = {"tavis_zero_shot": 40, "tavis_v3_zero_shot": 56}
    assert len(packaged.data.get("classes", [])) == classes.get(name, 0)


@pytest.mark.parametrize(
    "settings",
    [
        ["model.decomposition=false"],
        ["model.pseudo_text=false", "model.dense_prompt=false"],
        [
            "model.losses.a2t_weight=0.0",
            "model.losses.i2t_weight=0.0",
            "model.losses.a2pt_weight=0.0",
        ],
        ["model.losses.a2t_weight=0.0"],
        ["model.losses.i2t_weight=0.0"],
    ],
)
@pytest.mark.parametrize("name", ["tavis_s4", "tavis_ms3", "tavis_small"])
def test_each_row_of_the_ablations_is_a_recipe_with_settings(
    name: str, settings: list[str]
) -> None:
    shown = validate(change_recipe(load_recipe(name), settings)).as_recipe()
    for setting in settings:
        path, value = setting.removeprefix("model.").split("=")
        option = reduce(getitem, path.split("."), shown.model)
        assert str(option).lower() == value


def test_a_clip_has_one_vocabulary(data: Path, processor: TavisProcessor) -> None:
    clip: SemanticClip = clips_of(data, "s4/val", processor)[0]
    assert torch.equal(clip.name_ids, processor.name_ids)
