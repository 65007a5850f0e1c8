"""Import of AuralSAM2's file for Ref-AVS: the fuser alone, or the model with its text encoder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.keymaps.auralsam2 import (
    AURALSAM2_SAM2,
    AURALSAM2_TEXT,
    ROBERTA,
    current_names,
)
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import SOURCE_FILE
from avseg.errors import CheckpointError
from avseg.models.auralsam2 import AuralSam2TextModel, AuralSam2TextProcessor
from tests.checkpoints.test_importing_auralsam2 import FUSER, UNUSED, listed, older, sizes, write
from tests.models.auralsam2_factories import build_text, text_processor, text_tokenizer
from tests.published import some

UNUSED_TEXT: dict[str, tuple[int, ...]] = UNUSED | {
    "t_model.pooler.dense.weight": (1,),
    "t_model.embeddings.position_ids": (1,),
}


@pytest.fixture(scope="module")
def model() -> AuralSam2TextModel:
    model = build_text()
    first, second = (v for name, v in model.state_dict().items() if "positional_embedding" in name)
    second.copy_(first)  # two copies of one published constant
    return model


@pytest.fixture(scope="module")
def whole(model: AuralSam2TextModel) -> dict[str, Tensor]:
    """Return the file with SAM 2 and the text encoder."""
    return AURALSAM2_TEXT.to_published(model.state_dict()) | some(UNUSED_TEXT)


@pytest.fixture(scope="module")
def fuser(whole: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the file without them."""
    return {n.removeprefix(FUSER): v for n, v in whole.items() if n.startswith(FUSER)}


@pytest.fixture
def others(model: AuralSam2TextModel, tmp_path: Path) -> list[Path]:
    """Return the files of SAM 2 and of the text encoder, and the tokenizer."""
    state = model.state_dict()
    sam2 = AURALSAM2_SAM2.to_published(
        {name: v for name, v in state.items() if name.startswith(("sam.", "memory."))}
    )
    roberta = ROBERTA.to_published(
        {name: v for name, v in state.items() if name.startswith("text_encoder.")}
    )
    roberta |= some({"lm_head.dense.weight": (1,), "lm_head.bias": (1,)})
    save_file(roberta, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text(text_tokenizer().content)
    names = ("model.safetensors", "tokenizer.json")
    return [*write(tmp_path, sam2=sam2), *(tmp_path / name for name in names)]


def check_imported(files: list[Path], model: AuralSam2TextModel, folder: Path) -> Path:
    """Import files, and check that the result is the model; return its folder."""
    checkpoint = import_checkpoint(files, folder / "imported", config=sizes(model, folder))
    loaded, processor = load_checkpoint(find_checkpoint(checkpoint.folder))
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    assert isinstance(processor, AuralSam2TextProcessor)
    assert processor == text_processor()
    assert processor.with_texts(["the left dog"]).texts == ("the left dog",)
    return checkpoint.folder


def test_the_fuser_is_imported_with_three_more_files_and_written_back(
    model: AuralSam2TextModel, fuser: dict[str, Tensor], others: list[Path], tmp_path: Path
) -> None:
    folder = check_imported([*write(tmp_path, aural=fuser), *others], model, tmp_path)
    described = json.loads((folder / SOURCE_FILE).read_text())
    licences = {each["format"]: each["licence"] for each in described["sources"]}
    assert licences == {
        "auralsam2-refavs": "MIT",
        "sam2": "Apache-2.0",
        "roberta": "Apache-2.0",
        "roberta-bpe": "Apache-2.0",
    }
    export_checkpoint(folder, tmp_path / "back.pth")
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == fuser.keys()
    assert all(torch.equal(after[name], values) for name, values in fuser.items())


def test_the_whole_model_needs_its_tokenizer_only_and_is_written_back(
    model: AuralSam2TextModel, whole: dict[str, Tensor], others: list[Path], tmp_path: Path
) -> None:
    folder = check_imported([*write(tmp_path, aural=whole), others[-1]], model, tmp_path)
    export_checkpoint(folder, tmp_path / "back.pth")
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == whole.keys()
    assert all(torch.equal(after[name], values) for name, values in whole.items())


@pytest.mark.parametrize("rename", [older, listed])
def test_older_names_become_current_names(fuser: dict[str, Tensor], rename: object) -> None:
    assert callable(rename)

    def renamed(name: str) -> str:
        if name.startswith("text_proj."):
            return name.replace("text_proj", "training_layers.16") if rename is listed else name
        return str(rename(name))

    found = current_names({"aural_fuser." + renamed(name): v for name, v in fuser.items()})
    assert found.keys() == fuser.keys()
    assert all(torch.equal(found[name], values) for name, values in fuser.items())


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("sam2.pth", "AuralSAM2 for Ref-AVS needs SAM 2, which its file does not contain"),
        ("model.safetensors", "AuralSAM2 for Ref-AVS needs RoBERTa, which its file does not"),
        ("tokenizer.json", r"needs its tokenizer, one file; got none. Give tokenizer.json of"),
    ],
)
def test_a_missing_file_is_named(
    left_out: str,
    message: str,
    model: AuralSam2TextModel,
    fuser: dict[str, Tensor],
    others: list[Path],
    tmp_path: Path,
) -> None:
    files = [*write(tmp_path, aural=fuser), *(f for f in others if f.name != left_out)]
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint(files, tmp_path / "imported", config=sizes(model, tmp_path))
