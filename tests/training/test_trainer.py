"""The trainer: evaluation with the task's measure, saved models, frozen weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from transformers import TrainingArguments

from avseg.models.av2t_sam import Av2tSamModel
from avseg.training import trainer
from avseg.training.recipe import change_recipe, load_recipe
from avseg.training.trainer import AvsegTrainer, find_frozen
from avseg.training.validation import validate
from tests.models.factories import CONFIG


class Mean:
    """A measure that averages the outputs of a model."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.batches = 0

    def update(self, out: Tensor, batch: dict[str, Tensor]) -> None:
        """Add the output for a batch."""
        assert len(batch["inputs"]) <= 2
        self.values.append(out)
        self.batches += 1

    def merge(self, other: "Mean") -> None:
        """Add the outputs of another measure."""
        self.values += other.values
        self.batches += other.batches

    def compute(self) -> dict[str, float]:
        """Return the mean."""
        return {"mean": float(torch.cat(self.values).mean()), "batches": float(self.batches)}


class Same(nn.Module):
    """A model that returns its inputs, or NaN in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs * (torch.nan if self.training else self.scale)


def collate(items: list[tuple[Tensor]]) -> dict[str, Tensor]:
    return {"inputs": torch.stack([item[0] for item in items])}


def make_trainer(model: nn.Module, folder: Path) -> AvsegTrainer:
    arguments = TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        per_device_eval_batch_size=2,
    )
    measured: dict[str, Dataset[Any]] = {
        name: TensorDataset(torch.full((3,), value)) for name, value in DATA.items()
    }
    return AvsegTrainer(
        model=model,
        args=arguments,
        measured=measured,
        measure=Mean,
        data_collator=collate,
    )


DATA = {"seen": 1.0, "unseen": 2.0}


@pytest.mark.parametrize("has_instructions", [True, False])
def test_a_processor_without_instructions_for_bfloat16_trains_in_float32(
    has_instructions: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(trainer, "computes_bf16", lambda _: has_instructions)
    plan = validate(change_recipe(load_recipe("clip_small"), ["trainer.bf16=true"]))
    assert trainer.training_arguments(plan, tmp_path).bf16 is has_instructions
    assert ("computes in float32" in caplog.text) is not has_instructions


def test_each_data_set_is_evaluated_in_evaluation_mode(tmp_path: Path) -> None:
    metrics = make_trainer(Same(), tmp_path).evaluate()
    assert metrics == {
        "eval_seen_mean": 1.0,
        "eval_seen_batches": 2.0,
        "eval_unseen_mean": 2.0,
        "eval_unseen_batches": 2.0,
    }


def test_other_data_sets_can_be_evaluated_with_another_prefix(tmp_path: Path) -> None:
    made = make_trainer(Same(), tmp_path)
    metrics = made.evaluate({"test": TensorDataset(torch.zeros(1))}, metric_key_prefix="final")
    assert metrics == {"final_test_mean": 0.0, "final_test_batches": 1.0}


def test_scores_are_logged(tmp_path: Path) -> None:
    made = make_trainer(Same(), tmp_path)
    made.evaluate()
    assert made.state.log_history[-1]["eval_unseen_mean"] == 2.0


def test_a_model_saved_after_training_can_be_loaded(tmp_path: Path) -> None:
    model = Av2tSamModel(CONFIG)
    make_trainer(model, tmp_path / "run").save_model(str(tmp_path / "saved"))
    assert Av2tSamModel.from_pretrained(tmp_path / "saved").config.features == "mul"


def test_frozen_weights_neither_train_nor_enter_training_mode() -> None:
    model = Av2tSamModel(CONFIG)
    frozen, state = find_frozen(model), model.state_dict()
    assert {
        name for name in frozen if not name.startswith(("clip.", "clap.", "segmenter."))
    } == set()
    assert {name for name in state if name.startswith(("clip.", "clap."))} <= frozen
    trained = {name for name, values in model.named_parameters() if values.requires_grad}
    assert trained <= state.keys() - frozen
    assert not model.clip.training  # type: ignore[union-attr]  # its mode is as it was


def test_statistics_of_a_trainable_batch_norm_are_not_frozen() -> None:
    norm = nn.BatchNorm1d(3)
    norm.weight.requires_grad = False
    assert find_frozen(nn.Sequential(norm)) == {"0.weight"}
