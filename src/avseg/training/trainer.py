"""Hugging Face's Trainer with one change: evaluation is a task's own measure over a data set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, Trainer

#: Model, batches, the model's device -> measures by name.
Measure = Callable[[nn.Module, DataLoader[Any], torch.device], dict[str, float]]


class AvsegTrainer(Trainer):
    """Trains as `Trainer` does; evaluates each named data set with the task's measure.

    `Trainer` would gather the mask logits of all batches before measuring them, which is more than
    fits in memory.

    Args:
        measure: The task's measure.
        measured: Name to data set, for instance "val".
        **kwargs: As for `Trainer`.
    """

    def __init__(
        self, *, measure: Measure, measured: dict[str, Dataset[Any]], **kwargs: Any
    ) -> None:
        super().__init__(eval_dataset=measured, **kwargs)
        if isinstance(self.model, PreTrainedModel):
            # `Trainer` sets it on every model. It means text generation; here it would be saved
            # with the configuration, which then refuses it as an unknown option.
            vars(self.model.config).pop("use_cache", None)
        self.measure = measure
        self.measured = measured

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure the model on every data set.

        Args:
            eval_dataset: Name to data set, in place of the trainer's own.
            ignore_keys: Of the model's outputs; the measures know which they need, so this has no
                effect.
            metric_key_prefix: What the names of the measures begin with.

        Returns:
            `<prefix>_<data set>_<measure>` to value.
        """
        del ignore_keys
        datasets: dict[str, Dataset[Any]] = eval_dataset or self.measured
        model: nn.Module = self.model  # type: ignore[assignment]  # None only with a model_init
        model.eval()
        metrics: dict[str, float] = {}
        for name, dataset in datasets.items():
            batches = DataLoader(
                dataset,
                batch_size=self.args.per_device_eval_batch_size,
                collate_fn=self.data_collator,
            )
            with torch.no_grad(), self.autocast_smart_context_manager():
                values = self.measure(model, batches, self.args.device)
            metrics |= {f"{metric_key_prefix}_{name}_{key}": v for key, v in values.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics
