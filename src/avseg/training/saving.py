"""The weights that a run ends with: all of its model's, or those alone that it trained."""

from pathlib import Path

from transformers import PreTrainedModel

from avseg.checkpoints.delta import find_stored_weights, save_trained
from avseg.checkpoints.model_folder import TRAINED_FILE, WEIGHTS_FILE
from avseg.training.parts import loaded_parts
from avseg.training.recipe import SavedForm
from avseg.training.trainer import AvsegTrainer


def save_weights(trainer: AvsegTrainer, output: Path, form: SavedForm) -> None:
    """Save the weights of a run, and the configuration of a model that has one.

    Args:
        trainer: At the end of the training.
        output: Folder of the run.
        form: "trained" leaves out what is frozen and the same as in the file that it came from; if
            nothing is, the model is saved whole.

    Raises:
        OutputError: If the folder cannot be written.
    """
    model = trainer.core
    parts = []
    if form == "trained":
        parts = find_stored_weights(model.state_dict(), trainer.frozen, loaded_parts(model))
    if not parts:
        trainer.save_model(str(output))
    elif trainer.args.should_save:
        save_trained(model.state_dict(), parts, output)
        if isinstance(model, PreTrainedModel):
            model.config.save_pretrained(output)
    if trainer.args.should_save:  # an earlier start may have left the other form
        (output / (WEIGHTS_FILE if parts else TRAINED_FILE)).unlink(missing_ok=True)
