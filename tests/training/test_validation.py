"""Validation of recipes: what is reported, and that it is reported before torch is imported."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from avseg.errors import CheckpointError, TrainingError
from avseg.training import validation
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.run import run_recipe
from avseg.training.tasks.building import BUILDERS
from avseg.training.tasks.options import TASKS
from avseg.training.validation import validate
from tests.training import tiny
from tests.training.tiny import changed

#: Recipes with a mistake that is reported without torch, and what is reported.
WRONG = [
    (replace(tiny.CLIP, task="image-txt"), "no task 'image-txt'; did you mean image-text?"),
    (replace(tiny.CLIP, task="zzz"), "no task 'zzz'; there are image-text, audio-text"),
    (changed(tiny.CLIP, "data", sizes=3), "data has no option 'sizes'; did you mean size"),
    (changed(tiny.CLIP, "data", prompts=3), "no option 'prompts'; there are generator_version, m"),
    (changed(tiny.CLIP, "data", size="many"), "data.size must be of type int, got 'many'"),
    (
        changed(tiny.CLIP, "data", generator_version=1),
        "generator_version must be 2 or 3 or 'both', got 1",
    ),
    (changed(tiny.CLIP, "data", generator_version="3"), "must be 2 or 3 or 'both', got '3'"),
    (changed(tiny.BRIDGE, "data", train="s4/train"), "must be a list of names, got 's4/train'"),
    (changed(tiny.BRIDGE, "data", train=["ms3"]), "'ms3' must be SUBSET/SPLIT .* s4, ms3, avss"),
    (changed(tiny.BRIDGE, "data", train=["ms4/val"]), "'ms4/val' must be SUBSET/SPLIT"),
    (changed(tiny.BRIDGE, "trainer", metric_for_best_model="ms3_vla_j"), "measured: ms3_val"),
    (replace(tiny.CLIP, data={"size": 4}), "data lacks seed, measured_size"),
    (changed(tiny.CLIP, "trainer", max_step=3), "no option 'max_step'; did you mean max_steps"),
    (changed(tiny.CLIP, "trainer", output_dir="x"), "'output_dir'; the run sets this option"),
    (changed(tiny.CLIP, "trainer", zzz=1), "'zzz'; it takes the options of Hugging Face's"),
    (changed(tiny.CLIP, "trainer", learning_rate="5e-4"), "must be a number, got the text '5e"),
    (changed(tiny.CLIP, "trainer", bf16="yes"), "trainer.bf16 must be true or false, got 'yes'"),
    (changed(tiny.CLIP, "trainer", lr_scheduler_type="cosin"), "one of linear, cosine.*'cosin'"),
    (changed(tiny.CLIP, "memory", recomputed=3), "memory has no option 'recomputed'"),
    (changed(tiny.CLIP, "memory", recomputed_blocks="all"), "must be of type int, got 'all'"),
    (replace(tiny.CLIP, sizes="huge"), "sizes must be small or published, got 'huge'"),
    (replace(tiny.CLIP, save="all"), "save must be trained or whole, got 'all'"),
    (changed(tiny.BRIDGE, "trainer", metric_for_best_model="ms3_test_seen_j"), "on a test spl"),
    (changed(tiny.BRIDGE, "trainer", load_best_model_at_end=True), "needs metric_for_best_mo"),
    (changed(tiny.CLIP, "model", feature="clip"), "no option 'feature'; did you mean features?"),
    (changed(tiny.CLIP, "model", features="ears"), "model.features must be one of clip, clap"),
    (
        changed(tiny.CLIP, "model", clip_config={"dimm": 3}),
        "clip_config has no option 'dimm'",
    ),
    (
        changed(tiny.CLIP, "model", clip_config={"dim": "3"}),
        "clip_config.dim must be a number",
    ),
    (changed(tiny.IMAGEBIND, "model", text={"blcks": 1}), "'blcks'; did you mean blocks?"),
    (changed(tiny.CLIP, "model", projection_dim=8), "did you mean clip_config.projection_dim?"),
    (changed(tiny.CLIP, "start_from", clip="x"), "no option 'clip'; there are model"),
    (
        changed(tiny.SEGMENTER, "start_from", clap="x"),
        "'clap'; there are model, sam, segm",
    ),
    (changed(tiny.BRIDGE, "start_from", clip="cilp"), "no run 'cilp'.*avseg train cilp"),
]


@pytest.mark.parametrize(("recipe", "message"), WRONG)
def test_a_wrong_recipe_is_reported_before_anything_is_written(
    recipe: Recipe, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        run_recipe(recipe, tmp_path / "run", tmp_path)
    assert not list(tmp_path.iterdir())


#: Validates recipes of a JSON file; prints which heavy modules were imported at each error.
REPORT = """
import json, sys, time
from pathlib import Path
from avseg.errors import AvsegError
from avseg.training.recipe import Recipe
from avseg.training.validation import validate

found = []
for recipe in json.loads(Path(sys.argv[1]).read_text()):
    try:
        validate(Recipe(**recipe), Path("no-runs"), Path("no-data"))
    except AvsegError:
        found.append(sorted({"torch", "transformers", "accelerate"} & set(sys.modules)))
print(json.dumps({"found": found, "cpu_s": time.process_time()}))
"""


def test_a_wrong_recipe_is_reported_without_torch_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps([asdict(recipe) for recipe, _ in WRONG]))
    done = subprocess.run(  # noqa: S603 - our own interpreter, code from this file
        [sys.executable, "-c", REPORT, str(path)], capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["found"] == [[]] * len(WRONG)
    assert report["cpu_s"] < 1.0  # for all of them together


@pytest.mark.parametrize(
    "arguments",
    [["clipsmall"], ["clip_small", "--set", "data.sise=4"], ["clip_small", "--set", "x=4"]],
    ids=["name", "option", "setting"],
)
def test_the_command_reports_a_mistake_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom avseg.cli.main import app, run\n"
        "code = run(app, ['train', *sys.argv[1:]])\nprint(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter, code from this file
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 False\n"


def test_a_backbone_that_is_downloaded_by_hand_is_reported_at_once(tmp_path: Path) -> None:
    recipe = changed(tiny.BRIDGE, "start_from", clip="imagebind-huge")
    with pytest.raises(CheckpointError, match=r"download https://.*import-checkpoint"):
        validate(recipe, tmp_path, tmp_path)


def test_a_tool_to_report_to_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "find_spec", lambda _: None)  # whatever is installed here
    with pytest.raises(TrainingError, match="wandb is not installed; pip install"):
        validate(changed(tiny.CLIP, "trainer", report_to=["wandb"]))


def test_values_that_a_configuration_refuses_are_reported_in_the_second_stage() -> None:
    with pytest.raises(TrainingError, match=r"(?s)model: .*image_size"):
        validate(changed(tiny.CLIP, "model", sam_config={"image_size": 100}))


def test_options_of_another_backbone_class_are_left_to_the_second_stage() -> None:
    sam1 = {"model_type": "avseg-prompted-sam1", "image_size": 64}
    recipe = changed(load_recipe("av2t_sam1_s4"), "model", sam_config=sam1)
    assert validate(recipe).config.sam_config.image_size == 64
    with pytest.raises(TrainingError, match=r"(?s)model: .*no option bogus"):
        validate(changed(recipe, "model", sam_config=sam1 | {"bogus": 1}))


def test_a_plan_without_a_folder_of_runs_has_no_parts() -> None:
    assert validate(tiny.BRIDGE).parts == {}


@pytest.mark.parametrize(("sizes", "form"), [("small", "whole"), ("published", "trained")])
def test_small_models_are_saved_whole_by_default(sizes: str, form: str) -> None:
    recipe = replace(load_recipe("av2t_sam_small"), sizes=sizes)
    assert validate(recipe).save == form
    assert validate(replace(recipe, save="whole")).save == "whole"


def test_every_task_can_be_built() -> None:
    assert set(BUILDERS) == set(TASKS.values())
