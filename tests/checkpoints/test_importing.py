"""An imported model computes the same as the model that was published."""

import errno
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from avseg.checkpoints import find_checkpoint, saving
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.errors import CheckpointError, OutputError
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamProcessor
from tests.models.factories import inputs
from tests.published import (
    SAM1_CONFIG,
    SAM2_CONFIG,
    make_model,
    published_system,
    published_tower,
    write_config,
    write_published,
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write a tiny AV2T-SAM, MS-CLAP and CLIP."""
    return write_published(make_model(), tmp_path / "published")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write their sizes."""
    return write_config(SAM2_CONFIG, tmp_path)


def tiny_inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return inputs()


@pytest.mark.parametrize(
    "config",
    [
        SAM2_CONFIG,
        SAM1_CONFIG,
        SAM2_CONFIG.replace(adapters=False),
        SAM1_CONFIG.replace(adapters=False),
        SAM2_CONFIG.replace(features="clap"),
        SAM2_CONFIG.replace(features="clip", adapters=False),
    ],
    ids=["sam2", "sam1", "sam2-plain", "sam1-plain", "clap", "clip-plain"],
)
def test_an_imported_model_computes_the_same_masks(config: Any, tmp_path: Path) -> None:
    model = make_model(config)
    # Sizes come from a file; its options for features and adapters yield to the checkpoint.
    sizes = write_config(config.replace(features="mul", adapters=not config.adapters), tmp_path)
    checkpoint = import_checkpoint(
        write_published(model, tmp_path), tmp_path / "model", config=sizes
    )
    loaded, processor = load_checkpoint(find_checkpoint(checkpoint.folder))
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    clip = tiny_inputs()
    with torch.inference_mode():
        masks = [each(**clip).mask_logits for each in (loaded, model)]
    torch.testing.assert_close(*masks, atol=1e-6, rtol=0)
    assert loaded.config.features == config.features
    assert (loaded.adapters is None) == (model.adapters is None)
    assert processor == Av2tSamProcessor.from_config(config)


def test_clip_can_be_imported_from_openais_state_dict(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    model = make_model()
    torch.save(published_tower(model, "clip-openai"), files[2])
    folder = import_checkpoint(files, tmp_path / "model", config=config).folder
    tensors = load_file(folder / "model.safetensors")
    for name, values in model.clip.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(tensors[f"clip.{name}"], values)


def test_a_sharded_folder_is_one_file(files: list[Path], config: Path, tmp_path: Path) -> None:
    state = torch.load(files[0], weights_only=True)
    shards = tmp_path / "shards"
    shards.mkdir()
    names = sorted(state)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[:100], names[100:])):
        shard = f"model-{number}.safetensors"
        save_file({name: state[name].contiguous() for name in part}, shards / shard)
        weight_map |= dict.fromkeys(part, shard)
    (shards / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    whole = import_checkpoint(files, tmp_path / "whole", config=config).folder
    sharded = import_checkpoint([shards, *files[1:]], tmp_path / "sharded", config=config).folder
    written = [(folder / "model.safetensors").read_bytes() for folder in (whole, sharded)]
    assert written[0] == written[1]
    (shards / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"1 of 2 shards are missing, first model-1.*again"):
        import_checkpoint([shards, *files[1:]], tmp_path / "sharded", config=config)


def test_a_folder_records_its_published_files(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    os.utime(files[0], (0, 1_700_000_000))
    checkpoint = import_checkpoint(files, tmp_path / "model", config=config)
    assert checkpoint.licence is None  # its authors state none
    described = json.loads((checkpoint.folder / "source.json").read_text())
    system = next(source for source in described["sources"] if source["role"] == "system")
    assert system == {
        "role": "system",
        "format": "av2t-sam",
        "file": "av2t.pth",
        "sha256": sha256(files[0].read_bytes()).hexdigest(),
        "date": "2023-11-14",
        "licence": None,
    }
    assert {source["file"]: source["licence"] for source in described["sources"]} == {
        "av2t.pth": None,
        "clap.pth": "MS-PL",
        "clip.bin": "MIT",
    }
    assert "model.visual_model.no_obj_ptr" in described["unused"]


def test_features_can_be_chosen(files: list[Path], config: Path, tmp_path: Path) -> None:
    folder = import_checkpoint(files[:2], tmp_path / "model", config=config, features="clap").folder
    assert load_checkpoint(find_checkpoint(folder))[0].config.features == "clap"


Change = Callable[[dict[str, torch.Tensor]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("projector.to_text_space.0.bias"),
            r"1 keys are missing: projector\.to_text_space\.0\.bias\. Is it",
        ),
        (
            lambda state: state.update({"projector.extra.weight": torch.ones(2)}),
            r"1 keys are unexpected: projector\.extra\.weight",
        ),
        (
            lambda state: state.update({"projector.audio_proj.bias": torch.ones(3)}),
            r"1 keys are of another shape: projector\.audio_proj\.bias \(is \(3,\), should be \(16",
        ),
        (
            lambda state: [state.pop(name) for name in list(state) if "point_embed" in name],
            r"5 keys are missing: (.+, ){3}\.\.\.\. Is it",
        ),
    ],
    ids=["missing", "unexpected", "shape", "many"],
)
def test_a_checkpoint_that_does_not_fit_is_rejected_by_its_keys(
    change: Change, message: str, files: list[Path], config: Path, tmp_path: Path
) -> None:
    state = torch.load(files[0], weights_only=True)
    change(state)
    torch.save(state, files[0])
    with pytest.raises(CheckpointError, match=r"av2t\.pth: does not fit .*" + message):
        import_checkpoint(files, tmp_path / "model", config=config)
    assert not (tmp_path / "model").exists()


def test_published_sizes_are_the_default_without_a_configuration_file(
    files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"keys are of another shape: .*configuration file"):
        import_checkpoint(files, tmp_path / "model")


def test_a_file_that_is_no_configuration_is_rejected(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"colour": "red"}')
    with pytest.raises(CheckpointError, match=r"config\.json: is not a configuration of AV2T-SAM"):
        import_checkpoint(files, tmp_path / "model", config=tmp_path / "config.json")


def test_sizes_of_which_no_model_can_be_built_are_an_error(
    files: list[Path], tmp_path: Path
) -> None:
    sizes = json.loads(write_config(SAM2_CONFIG, tmp_path).read_text())
    sizes["sam_config"]["embed_dims"][0] = -1
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    with pytest.raises(CheckpointError, match=r"config\.json: no model can be built"):
        import_checkpoint(files, tmp_path / "model", config=tmp_path / "config.json")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([0, 1], "needs CLIP.*give that file too"),
        ([0, 2], "needs MS-CLAP 2023.*give that file too"),
        ([1, 2], r"no trained system among the files \(MS-CLAP 2023, CLIP"),
        ([], r"no trained system among the files \(nothing"),
        ([0, 1, 2, 1], "clap.pth: is MS-CLAP 2023, and .*clap.pth is MS-CLAP 2023; give one"),
    ],
)
def test_files_that_make_no_model_are_rejected(
    wanted: list[int], message: str, files: list[Path], config: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint([files[i] for i in wanted], tmp_path / "model", config=config)


def test_a_superfluous_tower_is_rejected(files: list[Path], config: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"clip\.bin: is CLIP .* does not use; leave it out"):
        import_checkpoint(files, tmp_path / "model", config=config, features="clap")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("image_encoder.trunk.pos_embed", "is SAM 2, which is a part of EVF-SAM and AV2T-SAM"),
        ("image_encoder.blocks.0.norm1.bias", "is SAM, which is a part"),
        ("beit3.encoder.layer_norm.A.bias", "is BEiT-3, which is a part"),
        (
            "model.diffusion_model.out.bias",
            "of an unknown format; known formats are AuralSAM2 for Ref-AVS, "
            "AuralSAM2 for Ref-AVS with SAM 2, AuralSAM2, AuralSAM2 with SAM 2, AV2T-SAM, "
            "EVF-SAM, TAViS, MS-CLAP",
        ),
    ],
)
def test_a_checkpoint_of_another_model_is_rejected(name: str, message: str, tmp_path: Path) -> None:
    save_file({name: torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint([tmp_path / "other.safetensors"], tmp_path / "model")


def test_other_mel_filters_than_the_configuration_s_are_rejected(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    state = published_tower(make_model(), "clap-2023")
    state["audio_encoder.base.htsat.logmel_extractor.melW"] += 1e-3
    torch.save(state, files[1])
    with pytest.raises(CheckpointError, match=r"clap\.pth: its mel filters differ by 1\.0e-03"):
        import_checkpoint(files, tmp_path / "model", config=config)


def test_another_tower_than_the_one_trained_with_is_rejected(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    right = {"clap": sha256(files[1].read_bytes()).hexdigest()}
    import_checkpoint(files, tmp_path / "model", config=config, trained_with=right)
    with pytest.raises(
        CheckpointError, match=rf"clap\.pth: is not .* \(SHA-256 {right['clap']}, s"
    ):
        import_checkpoint(files, tmp_path / "other", config=config, trained_with={"clap": "0" * 64})
    assert not (tmp_path / "other").exists()


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_no_partial_folder(
    files: list[Path], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "save_file", no_room)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"model: cannot be written .*No space left.*needs 0\.00"):
        import_checkpoint(files, tmp_path / "model", config=config)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_written_to_a_disk_without_enough_space(
    files: list[Path], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr(saving, "save_file", lambda *_, **__: pytest.fail("began to write"))
    with pytest.raises(OutputError, match=r"No space left on device.*Make room"):
        import_checkpoint(files, tmp_path / "model", config=config)


def test_a_folder_with_other_content_is_not_replaced(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="other files than an imported model"):
        import_checkpoint(files, tmp_path / "published", config=config)
    assert all(path.is_file() for path in files)


def test_an_imported_folder_is_replaced_unless_an_input_file_is_in_it(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    folder = import_checkpoint(files, tmp_path / "model", config=config).folder
    import_checkpoint(files, folder, config=config)
    inside = files[0].rename(folder / "av2t.pth")
    with pytest.raises(OutputError, match=r"will be replaced, and .*av2t\.pth is in it"):
        import_checkpoint([inside, *files[1:]], folder, config=config)
    assert inside.is_file()


def test_half_precision_stays_on_disk(config: Path, tmp_path: Path) -> None:
    model = make_model()
    files = write_published(model, tmp_path / "published")
    half = {name: values.half() for name, values in published_system(model).items()}
    torch.save(half, files[0])
    folder = import_checkpoint(files, tmp_path / "model", config=config).folder
    assert load_file(folder / "model.safetensors")["projector.audio_proj.bias"].dtype is torch.half
    assert load_checkpoint(find_checkpoint(folder))[0].dtype is torch.float32


def test_the_default_sizes_are_the_published_ones() -> None:
    assert Av2tSamConfig().sam_config.image_size == 1024


def test_a_tokenizer_is_rejected_for_a_model_without_text(
    files: list[Path], config: Path, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "beit3.spm"
    tokenizer.touch()
    with pytest.raises(
        CheckpointError, match=r"beit3\.spm: belongs to a tokenizer, but AV2T-SAM takes"
    ):
        import_checkpoint([*files, tokenizer], tmp_path / "model", config=config)
