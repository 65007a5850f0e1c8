"""Hugging Face's Trainer with two changes.

Evaluation computes the task's own measure, and the processes of a distributed run share the
batches. A checkpoint during the training contains the trainable weights only; frozen weights are
loaded again from their original files.
"""

import logging
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast, gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler
from transformers import PreTrainedModel, Trainer, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from avseg.atomic import add_when_complete, explain_write_error
from avseg.checkpoints.delta import find_stored_weights, save_trained
from avseg.checkpoints.model_folder import PARSE_ERRORS, TRAINED_FILE, WEIGHTS_FILE
from avseg.environment import computes_bf16
from avseg.errors import AvsegError, TrainingError
from avseg.training.measures import Measure
from avseg.training.parts import loaded_parts
from avseg.training.recipe import SavedForm
from avseg.training.validation import Plan

_log = logging.getLogger(__name__)

_NEXT_STEP = "remove this checkpoint; the run then resumes from the one before."

#: Types of the values in `trainer_state.json` with which a training continues.
_STATE_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "global_step": int,
    "max_steps": int,
    "num_input_tokens_seen": int,
    "train_batch_size": (int, type(None)),
    "epoch": (int, float, type(None)),
    "total_flos": (int, float),
    "best_metric": (int, float, type(None)),
    "best_model_checkpoint": (str, type(None)),
    "log_history": list,
    "stateful_callbacks": dict,
}


class AvsegTrainer(Trainer):
    """A `Trainer` that evaluates each data set with the task's measure.

    `Trainer` itself would gather the mask logits of all batches before it computes a score, which
    does not fit in memory.

    Args:
        measure: Function that returns an empty measure of the task.
        measured: Name -> evaluation data, for instance "ms3_val".
        **kwargs: As for `Trainer`.
    """

    def __init__(
        self, *, measure: Callable[[], Measure], measured: dict[str, Dataset[Any]], **kwargs: Any
    ) -> None:
        super().__init__(eval_dataset=measured, **kwargs)
        if isinstance(self.model, PreTrainedModel):
            # `Trainer` sets `use_cache`, an option of text generation, on every model. Saved in
            # the configuration, it would be an unknown option when the model is loaded.
            vars(self.model.config).pop("use_cache", None)
        self.measure = measure
        self.measured = measured
        self.frozen = find_frozen(self.core)

    @property
    def core(self) -> nn.Module:
        """The model itself, without the wrapper for several processes."""
        model: nn.Module = self.model  # type: ignore[assignment]  # None only with a model_init
        return model

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluate the model on every data set; the processes share the batches.

        Args:
            eval_dataset: Name -> data set, instead of the trainer's own.
            ignore_keys: No effect; an argument of `Trainer`.
            metric_key_prefix: Prefix of the names of the scores.

        Returns:
            `<prefix>_<data set>_<score>` -> value, the same in every process.
        """
        del ignore_keys
        datasets: dict[str, Dataset[Any]] = eval_dataset or self.measured
        self.core.eval()
        # Each process has updated its own statistics of batch norms; all now use the first one's.
        for buffer in self.core.buffers():
            buffer.copy_(broadcast(buffer))
        metrics: dict[str, float] = {}
        for name, dataset in datasets.items():
            values = self._measure(dataset)
            metrics |= {f"{metric_key_prefix}_{name}_{key}": v for key, v in values.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def trained_state(self) -> dict[str, Tensor]:
        """Return the state dict without frozen parameters and buffers."""
        state = self.core.state_dict()
        return {name: values for name, values in state.items() if name not in self.frozen}

    def _measure(self, dataset: Dataset[Any]) -> dict[str, float]:
        """Compute the measure of a data set; each process evaluates its share of the batches."""
        size = self.args.per_device_eval_batch_size
        batched = BatchSampler(SequentialSampler(dataset), size, drop_last=False)  # type: ignore[arg-type]
        # Every n-th batch, so that n processes have equally many, up to one.
        numbered = list(enumerate(batched))[self.args.process_index :: self.args.world_size]
        batches = DataLoader(
            dataset, batch_sampler=[own for _, own in numbered], collate_fn=self.data_collator
        )
        measures: list[tuple[int, Measure]] = []
        for (number, _), batch in zip(numbered, batches, strict=True):
            # The precision of the training, such as bf16.
            with torch.no_grad(), self.autocast_smart_context_manager():
                out = self.core(**to_device(batch, self.args.device))
            of_batch = self.measure()
            of_batch.update(out, batch)
            measures.append((number, of_batch))
        whole = self.measure()
        # Merged in the order of the data, so that the rounding of sums does not depend on the
        # number of processes.
        for _, of_batch in sorted(gather_object(measures), key=lambda numbered: numbered[0]):
            whole.merge(of_batch)
        return whole.compute()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the whole model, or in a checkpoint the trainable weights.

        Args:
            output_dir: Folder; None for the folder of the run.
            _internal_call: Whether `Trainer` saves a checkpoint during the training.
        """
        folder = Path(str(output_dir or self.args.output_dir))
        if not self.args.should_save:
            return
        if not _internal_call:
            with add_when_complete(folder) as partial:
                super().save_model(str(partial))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.trained_state(), folder / WEIGHTS_FILE, metadata={"format": "pt"})

    def save_weights(self, output: Path, form: SavedForm) -> None:
        """Save the weights at the end of a run, and the configuration of a model that has one.

        Args:
            output: Folder of the run.
            form: "trained" omits frozen weights that still equal those in the file from which they
                were loaded. If there are no such weights, the whole model is saved.

        Raises:
            OutputError: If the folder cannot be written.
        """
        model = self.core
        parts = []
        if form == "trained":
            parts = find_stored_weights(model.state_dict(), self.frozen, loaded_parts(model))
        if not parts:
            self.save_model(str(output))
        elif self.args.should_save:
            with add_when_complete(output) as partial:
                save_trained(model.state_dict(), parts, partial)
                if isinstance(model, PreTrainedModel):
                    model.config.save_pretrained(partial)
        if self.args.should_save:  # an earlier start of this run may have saved the other form
            (output / (WEIGHTS_FILE if parts else TRAINED_FILE)).unlink(missing_ok=True)

    def save_state(self) -> None:
        """Save the history of the training, such as its losses and scores."""
        if self.args.should_save:
            with add_when_complete(Path(str(self.args.output_dir))) as partial:
                self.state.save_to_json(str(partial / TRAINER_STATE_NAME))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint, and remove an incomplete one if the disk is full."""
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        folder = Path(str(self.args.output_dir)) / name
        try:
            with explain_write_error(folder, folder):
                super()._save_checkpoint(model, trial)
        except AvsegError:
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        del model
        weights = Path(resume_from_checkpoint) / WEIGHTS_FILE
        with _explain_damage(weights.parent):
            state = load_file(weights)
        trained = self.trained_state()
        # The checkpoint has the trainable weights only, so `strict` must be off below; the keys are
        # compared here instead.
        different = sorted(state.keys() ^ trained.keys())
        if different:
            raise TrainingError(
                f"{weights}: {len(different)} keys are missing or unexpected, first "
                f"{different[0]}; {_NEXT_STEP}"
            )
        with _explain_damage(weights.parent):
            self.core.load_state_dict(state, strict=False)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _explain_damage(Path(str(checkpoint))):
            super()._load_optimizer_and_scheduler(checkpoint)
            _check_optimizer(self.optimizer)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _explain_damage(Path(str(checkpoint))):
            super()._load_rng_state(checkpoint)

    def load_if_trained(self, checkpoint: Path) -> bool:
        """Load the weights at the end of the training, if a checkpoint is of its last step.

        Args:
            checkpoint: Folder of the last checkpoint of the run.

        Returns:
            Whether the training is at its end; if not, nothing was loaded.

        Raises:
            TrainingError: If the checkpoint is damaged, or does not fit the model.
        """
        # A list when it is passed to a state, in which it is a mapping by name.
        callbacks: Any = self.state.stateful_callbacks
        state = _read_state(checkpoint, set(callbacks))
        if state.global_step < state.max_steps:
            return False
        self.state = state
        best = checkpoint.parent / Path(state.best_model_checkpoint or checkpoint).name
        choose_best = self.args.load_best_model_at_end and best.is_dir()
        self._load_from_checkpoint(str(best if choose_best else checkpoint))
        return True

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))


def training_arguments(plan: Plan, output: Path) -> TrainingArguments:
    """Build the options of the trainer.

    `bf16` has no effect on a processor without instructions for it, see `computes_bf16`.

    Args:
        plan: The plan of the run.
        output: Folder of the run.

    Returns:
        The options.

    Raises:
        TrainingError: If options contradict each other, or one has a wrong value.
    """
    # A step may use only some of the trainable weights: TAViS uses no memory for a clip of one
    # frame. Distributed training stops with an error then, unless it searches for unused weights.
    # `Trainer` would not search with recomputed activations.
    options: dict[str, Any] = {"ddp_find_unused_parameters": True} | dict(plan.trainer)

    def build(**changed: Any) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(output),
            remove_unused_columns=False,  # it would drop keys of items before `collate` uses them
            use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
            **(options | changed),
        )

    try:
        arguments = build()
    except (TypeError, ValueError) as error:
        raise TrainingError(f"recipe {plan.recipe.name}: trainer: {error}") from error
    if arguments.bf16 and not computes_bf16(arguments.device):
        _log.warning(
            "trainer.bf16: this processor has no instructions for bfloat16, so the training "
            "computes in float32, which is faster here."
        )
        return build(bf16=False)
    return arguments


def _read_state(checkpoint: Path, callbacks: set[str]) -> TrainerState:
    """Read the state of the training in a checkpoint, and validate what a training needs of it."""
    with _explain_damage(checkpoint):
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        for name, kind in _STATE_TYPES.items():
            if not isinstance(getattr(state, name), kind):
                raise TypeError(f"{TRAINER_STATE_NAME}: {name} is {getattr(state, name)!r}")
        missing = callbacks - set(vars(state)["stateful_callbacks"])
        if missing:
            raise LookupError(f"{TRAINER_STATE_NAME}: there is no state of {sorted(missing)[0]}")
        if f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" != checkpoint.name:
            raise ValueError(f"{TRAINER_STATE_NAME} is of step {state.global_step}")
    return state


def _check_optimizer(optimizer: Any) -> None:
    """Raise an error if a loaded state does not fit the parameters that the optimizer updates."""
    for parameter, state in optimizer.state.items():
        for name, values in state.items():
            # Counters of steps have no shape; all other values are one number for each weight.
            if values.shape not in ((), parameter.shape):
                raise ValueError(f"{name} is {tuple(values.shape)}, not {tuple(parameter.shape)}")


@contextmanager
def _explain_damage(checkpoint: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged checkpoint into a `TrainingError`."""
    try:
        yield
    except (*PARSE_ERRORS, SafetensorError, pickle.UnpicklingError) as error:
        # torch explains over many lines how to load a pickle that may execute code.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainingError(f"{checkpoint}: is damaged ({reason[:200]}); {_NEXT_STEP}") from error


def find_frozen(model: nn.Module) -> set[str]:
    """Return the names of the weights that training does not change.

    Args:
        model: The model; its mode is kept.

    Returns:
        Names of the parameters that are not trainable, and of the buffers of modules that stay in
        evaluation mode in training.
    """
    was_training = model.training
    model.train()
    frozen = {name for name, values in model.named_parameters() if not values.requires_grad}
    for path, module in model.named_modules():
        if not module.training:
            frozen |= {f"{path}.{name}" for name, _ in module.named_buffers(recurse=False)}
    model.train(was_training)
    return frozen


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Move a batch to a device.

    Args:
        batch: Name -> tensor, or tuple of tensors.
        device: The device.

    Returns:
        The batch on the device.
    """
    return {
        name: tuple(v.to(device) for v in value) if isinstance(value, tuple) else value.to(device)
        for name, value in batch.items()
    }
