"""Import of TAViS's file with CLIP's tokenizer."""

import json
from pathlib import Path

import pytest
import torch

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.keymaps.formats import SAM2_KEY_MAPS, detect_format
from avseg.checkpoints.keymaps.sam2 import SAM2_MEMORY
from avseg.checkpoints.keymaps.tavis import tavis
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import SOURCE_FILE
from avseg.errors import CheckpointError
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.configuration import RELEASED
from avseg.training.parts import Part, load_part
from tests.models.factories import randomise
from tests.models.tavis_factories import TAVIS
from tests.published import UNUSED_OF_IMAGEBIND, some, write_clip_tokenizer

#: Other tensors of a published file, with one number each.
UNUSED = {
    "sam_mask_decoder.audio_score.0.layers.0.weight": (1,),
    "sam_mask_decoder.decoder_norm.weight": (1,),
    "transformer_cross_attention_layers_H.3.multihead_attn.in_proj_weight": (1,),
    "transformer_CA.1.norm.bias": (1,),
    "query_fea_H.weight": (1,),
    "no_mem_pos_enc": (1,),
    "mask_downsample.weight": (1,),
    "CEloss.weight": (1,),
}


@pytest.fixture(scope="module")
def model() -> TavisModel:
    """Build a model of the released code, with a text tower for the tokenizer."""
    text = {"vocab": 519, "context": 77}
    imagebind = TAVIS.imagebind_config.replace(text=text)
    model = TavisModel(TAVIS.replace(imagebind_config=imagebind, **RELEASED))
    randomise(model)
    state = model.state_dict()
    first, second = (values for name, values in state.items() if "positional_embedding" in name)
    second.copy_(first)  # two copies of one published constant
    return model


@pytest.fixture
def files(model: TavisModel, tmp_path: Path) -> list[Path]:
    """Write its published file and its tokenizer."""
    imagebind = {f"imagebind.{name}": shape for name, shape in UNUSED_OF_IMAGEBIND.items()}
    state = tavis("argmax").to_published(model.state_dict()) | some(UNUSED | imagebind)
    torch.save(state, tmp_path / "model_epoch_best.pth")
    return [tmp_path / "model_epoch_best.pth", write_clip_tokenizer(tmp_path)]


@pytest.fixture
def sizes(model: TavisModel, tmp_path: Path) -> Path:
    """Write its sizes."""
    model.config.to_json_file(tmp_path / "config.json")
    return tmp_path / "config.json"


def test_an_imported_tavis_is_the_same_model_and_can_be_written_back(
    model: TavisModel, files: list[Path], sizes: Path, tmp_path: Path
) -> None:
    checkpoint = import_checkpoint(files, tmp_path / "model", config=sizes)
    loaded, processor = load_checkpoint(find_checkpoint(checkpoint.folder))
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    assert len(vars(processor)["vocabulary"]) == 70
    export_checkpoint(checkpoint.folder, tmp_path / "back.pth")
    before = torch.load(files[0], weights_only=True)
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], values) for name, values in before.items())


def test_a_tavis_file_is_read_as_one_of_the_released_code(
    files: list[Path], sizes: Path, tmp_path: Path
) -> None:
    checkpoint = import_checkpoint(files, tmp_path / "model", config=sizes)
    config = TavisConfig.from_pretrained(checkpoint.folder)
    assert {name: getattr(config, name) for name in RELEASED} == RELEASED


def test_the_licence_of_its_imagebind_is_recorded(
    files: list[Path], sizes: Path, tmp_path: Path
) -> None:
    checkpoint = import_checkpoint(files, tmp_path / "model", config=sizes)
    assert find_checkpoint(checkpoint.folder).restrictions == ("CC-BY-NC-SA-4.0",)
    described = json.loads((checkpoint.folder / SOURCE_FILE).read_text())
    assert [source["format"] for source in described["sources"]] == ["tavis", "clip-bpe"]


def test_without_its_tokenizer_it_is_rejected(
    files: list[Path], sizes: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="TAViS needs its tokenizer, one file; got none"):
        import_checkpoint(files[:1], tmp_path / "model", config=sizes)


def test_the_format_is_detected_from_the_keys(model: TavisModel) -> None:
    found = detect_format(tavis("argmax").to_published(model.state_dict()))
    assert found is not None
    assert found.name == "tavis"


def test_training_can_start_from_the_file_of_sam_2_and_its_memory(
    model: TavisModel, tmp_path: Path
) -> None:
    images = SAM2_KEY_MAPS["sam2."].to_published(model.sam.state_dict())
    memory = SAM2_MEMORY.to_published(model.memory.state_dict())
    torch.save({"model": images | memory | some({"no_mem_pos_enc": (1,)})}, tmp_path / "sam2.pt")
    fresh = TavisModel(model.config)
    for theirs, ours in ((model.sam, fresh.sam), (model.memory, fresh.memory)):
        load_part(ours, Part(tmp_path / "sam2.pt", is_published=True))
        loaded = ours.state_dict()
        assert all(torch.equal(loaded[name], v) for name, v in theirs.state_dict().items())
