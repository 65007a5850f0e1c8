"""Import of AuralSAM2's files: the fuser alone or the whole model, with current or older names."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.keymaps.auralsam2 import AURALSAM2, AURALSAM2_SAM2, current_names
from avseg.checkpoints.keymaps.formats import detect_format
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import SOURCE_FILE
from avseg.errors import CheckpointError
from avseg.models.auralsam2 import AuralSam2Model, AuralSam2Processor
from tests.models.auralsam2_factories import AURAL_PROCESSOR, build
from tests.published import some

#: Published tensors that the model does not use, with one number each.
UNUSED: dict[str, tuple[int, ...]] = {
    "aural_fuser.a_blocks.0.0.attn.sr.weight": (1,),
    "aural_fuser.a_blocks.0.0.attn.norm.bias": (1,),
    "aural_fuser.a_blocks.0.0.mlp.dwconv.dwconv.weight": (1,),
    "aural_fuser.fusion_modules.1.g.weight": (1,),
    "aural_fuser.fusion_modules.1.align_channel_back.bias": (1,),
    "v_model.no_mem_pos_enc": (1,),
    "v_model.mask_downsample.weight": (1,),
}
FUSER = "aural_fuser."


@pytest.fixture(scope="module")
def model() -> AuralSam2Model:
    model = build()
    first, second = (v for name, v in model.state_dict().items() if "positional_embedding" in name)
    second.copy_(first)  # two copies of one published constant
    return model


@pytest.fixture(scope="module")
def whole(model: AuralSam2Model) -> dict[str, Tensor]:
    """Return the file with SAM 2."""
    return AURALSAM2.to_published(model.state_dict()) | some(UNUSED)


@pytest.fixture(scope="module")
def fuser(whole: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the file without SAM 2."""
    return {n.removeprefix(FUSER): v for n, v in whole.items() if n.startswith(FUSER)}


@pytest.fixture(scope="module")
def sam2(model: AuralSam2Model) -> dict[str, Tensor]:
    """Return the file of SAM 2."""
    state = model.state_dict()
    ours = {name: v for name, v in state.items() if name.startswith(("sam.", "memory."))}
    return AURALSAM2_SAM2.to_published(ours) | some({"no_mem_pos_enc": (1,)})


def write(folder: Path, **files: dict[str, Tensor]) -> list[Path]:
    for name, tensors in files.items():
        torch.save(tensors, folder / f"{name}.pth")
    return [folder / f"{name}.pth" for name in files]


def sizes(model: AuralSam2Model, folder: Path) -> Path:
    model.config.to_json_file(folder / "sizes.json")
    return folder / "sizes.json"


def check_imported(files: list[Path], model: AuralSam2Model, folder: Path) -> Path:
    """Import files, and check that the result is the model; return its folder."""
    checkpoint = import_checkpoint(files, folder / "model", config=sizes(model, folder))
    loaded, processor = load_checkpoint(find_checkpoint(checkpoint.folder))
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    assert isinstance(processor, AuralSam2Processor)
    assert processor == AURAL_PROCESSOR
    return checkpoint.folder


def test_the_fuser_is_imported_with_the_file_of_sam_2_and_written_back(
    model: AuralSam2Model, fuser: dict[str, Tensor], sam2: dict[str, Tensor], tmp_path: Path
) -> None:
    files = write(tmp_path, aural=fuser, sam2={"model": sam2})  # type: ignore[dict-item]
    folder = check_imported(files, model, tmp_path)
    described = json.loads((folder / SOURCE_FILE).read_text())
    licences = {each["format"]: each["licence"] for each in described["sources"]}
    assert licences == {"auralsam2": "MIT", "sam2": "Apache-2.0"}
    unused = {name.removeprefix(FUSER) for name in UNUSED if name.startswith(FUSER)}
    assert set(described["unused"]) == unused
    export_checkpoint(folder, tmp_path / "back.pth")
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == fuser.keys()
    assert all(torch.equal(after[name], values) for name, values in fuser.items())


def test_the_whole_model_is_imported_without_another_file_and_written_back(
    model: AuralSam2Model, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    folder = check_imported(write(tmp_path, aural=whole), model, tmp_path)
    export_checkpoint(folder, tmp_path / "back.pth")
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == whole.keys()
    assert all(torch.equal(after[name], values) for name, values in whole.items())


def older(name: str) -> str:
    """Return the name of a layer in the first generation of files."""
    layer, _, rest = name.partition(".")
    index, _, last = rest.partition(".")
    numbered = {
        "patch_embeds": "train_f_patch_embed",
        "f_blocks": "train_f_block",
        "a_blocks": "train_a_block",
        "fusion_modules": "train_f_a_block",
        "smooth_convs": "train_smooth",
    }
    return f"{numbered[layer]}{int(index) + 1}.{last}" if layer in numbered else name


def listed(name: str) -> str:
    """Return the name of a layer in files with all layers in one list."""
    if name.startswith("vgg."):
        return name.replace("vgg.", "finetuning_layers.0.", 1)
    layer, _, rest = name.partition(".")
    if layer in ("train_proj_v1", "train_proj_a1"):
        return f"training_layers.{14 if layer.endswith('v1') else 15}.{rest}"
    index, _, last = rest.partition(".")
    first = {"patch_embeds": 0, "f_blocks": 3, "a_blocks": 4, "fusion_modules": 5}
    place = 12 + int(index) if layer == "smooth_convs" else first[layer]
    place += 3 * int(index) if place in (3, 4, 5) else (int(index) if place == 0 else 0)
    return f"training_layers.{place}.{last}"


@pytest.mark.parametrize("prefix", ["", "audio_prompter.", "aural_fuser."])
@pytest.mark.parametrize("rename", [older, listed])
def test_older_names_become_current_names(
    fuser: dict[str, Tensor], prefix: str, rename: object
) -> None:
    assert callable(rename)
    renamed = {prefix + rename(name): values for name, values in fuser.items()}
    assert set(renamed) & set(fuser) <= {n for n in fuser if n.startswith(("vgg.", "train_proj"))}
    found = current_names(renamed)
    assert found.keys() == fuser.keys()
    assert all(torch.equal(found[name], values) for name, values in fuser.items())


def test_a_whole_older_file_has_its_layers_twice(
    model: AuralSam2Model, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    names = {n.removeprefix(FUSER): v for n, v in whole.items() if n.startswith(FUSER)}
    old = {n: v for n, v in whole.items() if not n.startswith(FUSER)}
    old |= {f"audio_prompter.{older(n)}": v for n, v in names.items()}
    old |= {f"audio_prompter.{listed(n)}": v for n, v in names.items()}
    check_imported(write(tmp_path, aural=old), model, tmp_path)
    first = next(name for name in old if "training_layers" in name)
    old[first] = old[first] + 1
    with pytest.raises(CheckpointError, match=r"aural\.pth: .* is a second tensor of .* differ"):
        import_checkpoint(write(tmp_path, aural=old), tmp_path / "other")


def test_the_fuser_without_sam_2_is_rejected(fuser: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="this AuralSAM2 needs SAM 2, which its file does not"
    ):
        import_checkpoint(write(tmp_path, aural=fuser), tmp_path / "model")


def test_the_file_of_sam_2_is_ignored_beside_the_whole_model(
    model: AuralSam2Model, whole: dict[str, Tensor], sam2: dict[str, Tensor], tmp_path: Path
) -> None:
    other = {name: values + 1 for name, values in sam2.items()}
    check_imported(write(tmp_path, aural=whole, sam2=other), model, tmp_path)


@pytest.mark.parametrize("change", ["missing", "unexpected", "of another shape"])
def test_wrong_keys_are_rejected(
    change: str,
    model: AuralSam2Model,
    fuser: dict[str, Tensor],
    sam2: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    name = "fusion_modules.2.q_frame.weight"
    changed = dict(fuser)
    if change == "missing":
        del changed[name]
    else:
        changed[name if change != "unexpected" else "fusion_modules.2.h.weight"] = torch.ones(3)
    with pytest.raises(CheckpointError, match=f"1 keys are {change}"):
        import_checkpoint(
            write(tmp_path, aural=changed, sam2=sam2),
            tmp_path / "model",
            config=sizes(model, tmp_path),
        )


def test_the_formats_are_detected_from_the_keys(
    whole: dict[str, Tensor], fuser: dict[str, Tensor], sam2: dict[str, Tensor]
) -> None:
    names = [found and found.name for found in map(detect_format, (whole, fuser, sam2))]
    assert names == ["auralsam2-whole", "auralsam2", "sam2"]
