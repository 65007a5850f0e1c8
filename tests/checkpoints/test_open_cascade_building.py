"""An open cascade is built from the files in which transformers publishes its networks."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ClapModel,
    GroundingDinoForObjectDetection,
    Owlv2ForObjectDetection,
    PeAudioFrameLevelModel,
    Sam2Model,
    Sam3Model,
)

from avseg.checkpoints import find_checkpoint, resources
from avseg.checkpoints.import_cache import find_or_import
from avseg.checkpoints.known_models import RELEASES
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.open_cascade_building import make_open_cascade
from avseg.cli.main import app, run
from avseg.errors import CheckpointError, OutputError
from avseg.models.vocabulary import avsbench_names
from avseg.segmenter import load_segmenter
from tests.checkpoints.hub import LocalHub
from tests.models.cascade.test_processing import clip
from tests.models.open_parts import publish_all, publish_sam3

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the files of all networks once; tests that change them copy them."""
    folder = tmp_path_factory.mktemp("published")
    return publish_all(folder) | {"sam3": publish_sam3(folder / "sam3")}


def copied(folder: Path, to: Path) -> Path:
    """Copy a network's files."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def change_weights(folder: Path, **renamed: str | None) -> None:
    """Rename tensors of a network's file by their prefix; None removes them."""
    changed = {}
    for name, values in load_file(folder / WEIGHTS).items():
        matches = [old for old in renamed if name.startswith(old.replace("__", "."))]
        if not matches:
            changed[name] = values
        elif (new := renamed[matches[0]]) is not None:
            changed[new + name] = values
    save_file(changed, folder / WEIGHTS, metadata={"format": "pt"})


#: The networks of each open cascade by their roles, as folders of `published`.
CASCADES = {
    "open-cascade": {"namer": "namer", "detector": "dino", "sam": "sam2"},
    "open-cascade-light": {"namer": "clap", "detector": "owlv2", "sam": "sam2"},
    "open-cascade-sam3": {"namer": "namer", "detector": "sam3"},
}
NETWORKS: dict[str, tuple[str, Any]] = {
    "namer": ("namer.pe_audio", PeAudioFrameLevelModel),
    "clap": ("namer.clap", ClapModel),
    "dino": ("segmenter.detector.network", GroundingDinoForObjectDetection),
    "owlv2": ("segmenter.detector.network", Owlv2ForObjectDetection),
    "sam2": ("segmenter.sam.sam2", Sam2Model),
    "sam3": ("segmenter.sam3", Sam3Model),
}


@pytest.mark.parametrize("parts", CASCADES.values(), ids=CASCADES)
def test_a_cascade_has_the_weights_of_all_networks(
    parts: dict[str, str], published: dict[str, Path], tmp_path: Path
) -> None:
    folders = {role: published[part] for role, part in parts.items()}
    made = make_open_cascade(
        folders["namer"], folders["detector"], folders.get("sam"), tmp_path / "open"
    )
    model, processor = load_checkpoint(find_checkpoint(made.folder))
    state = model.state_dict()
    counted = 0
    for part in parts.values():
        path, network = NETWORKS[part]
        for name, values in network.from_pretrained(published[part]).state_dict().items():
            assert torch.equal(state[f"{path}.{name}"], values), name
            counted += 1
    assert counted == len(state)
    vocabulary: Any = processor
    assert vocabulary.vocabulary == avsbench_names()
    sources = json.loads((made.folder / "source.json").read_text())["sources"]
    roles = ["namer", "sam3"] if parts["detector"] == "sam3" else ["namer", "detector", "sam"]
    assert [source["role"] for source in sources] == roles
    assert load_segmenter(made.folder, "cpu").segment_clip(clip()).masks.shape == (2, 40, 80)


@pytest.mark.parametrize(("namer", "min_score"), [("namer", 0.5), ("clap", 0.15)])
def test_the_score_alone_selects_the_names(
    namer: str, min_score: float, published: dict[str, Path], tmp_path: Path
) -> None:
    made = make_open_cascade(
        published[namer], published["owlv2"], published["sam2"], tmp_path / "open"
    )
    config: Any = load_checkpoint(find_checkpoint(made.folder))[0].config
    assert (config.min_score, config.min_share, config.max_names) == (min_score, 0.0, 3)


def test_the_files_of_sam_2s_video_model_are_accepted(
    published: dict[str, Path], tmp_path: Path
) -> None:
    video = copied(published["sam2"], tmp_path / "video")
    config = json.loads((video / "config.json").read_text())
    (video / "config.json").write_text(json.dumps(config | {"model_type": "sam2_video"}))
    tensors = load_file(video / WEIGHTS) | {"memory_attention.layer_norm.weight": torch.ones(2)}
    save_file(tensors, video / WEIGHTS, metadata={"format": "pt"})
    made = make_open_cascade(published["namer"], published["dino"], video, tmp_path / "open")
    load_checkpoint(find_checkpoint(made.folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_model__embeddings": "new."}, "missing keys, first text_model.*; 2 unexpected keys"),
        ({"text_audio_logit_bias": None}, "1 missing keys, first text_audio_logit_bias"),
    ],
)
def test_missing_or_unexpected_keys_are_refused(
    changes: dict[str, str | None], message: str, published: dict[str, Path], tmp_path: Path
) -> None:
    namer = copied(published["namer"], tmp_path / "namer")
    change_weights(namer, **changes)
    with pytest.raises(CheckpointError, match=f"do not fit PE-A-Frame: .*{message}"):
        make_open_cascade(namer, published["dino"], published["sam2"], tmp_path / "open")
    assert not (tmp_path / "open").exists()


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ("namer", {"hop_length": 160}, "hop_length is 160, avseg computes 320"),
        ("clap", {"truncation": "fusion"}, "truncation is fusion, avseg computes rand_trunc"),
        ("clap", {"hop_length": "short"}, "options of CLAP cannot be used .*'short'"),
        ("clap", {"feature_size": 64}, "feature_size is 64, avseg computes 16"),
        ("dino", {"image_mean": [0.5, 0.5, 0.5]}, "image_mean is .*, avseg computes"),
        ("sam2", {"size": {"height": 32, "width": 32}}, "size is .*'height': 32"),
    ],
)
def test_another_preprocessing_is_refused(
    part: str,
    options: dict[str, object],
    message: str,
    published: dict[str, Path],
    tmp_path: Path,
) -> None:
    folders = dict(published)
    folders[part] = copied(published[part], tmp_path / part)
    (folders[part] / "preprocessor_config.json").write_text(json.dumps(options))
    namer = folders["clap" if part == "clap" else "namer"]
    with pytest.raises(CheckpointError, match=message):
        make_open_cascade(namer, folders["dino"], folders["sam2"], tmp_path / "open")


def test_constant_tables_may_be_missing_or_stored_in_a_file(
    published: dict[str, Path], tmp_path: Path
) -> None:
    """Other releases of transformers store the indices of positions, or compute them."""
    clap, owlv2 = (copied(published[part], tmp_path / part) for part in ("clap", "owlv2"))
    positions = "text_model.embeddings.position_ids"
    tensors = load_file(clap / WEIGHTS)
    tables = {name for name, values in tensors.items() if not values.is_floating_point()}
    assert positions in tables
    save_file(
        {name: values for name, values in tensors.items() if name not in tables},
        clap / WEIGHTS,
        metadata={"format": "pt"},
    )
    stored = load_file(owlv2 / WEIGHTS) | {f"owlv2.{positions}": torch.arange(16)[None]}
    save_file(stored, owlv2 / WEIGHTS, metadata={"format": "pt"})
    made = make_open_cascade(clap, owlv2, published["sam2"], tmp_path / "open")
    state = load_checkpoint(find_checkpoint(made.folder))[0].state_dict()
    for name in tables:
        assert torch.equal(state[f"namer.clap.{name}"], tensors[name]), name


def test_the_wrong_network_is_refused(published: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_type is 'sam2'.*Grounding DINO or OWLv2"):
        _build(published, tmp_path, detector="sam2")


def _build(published: dict[str, Path], tmp_path: Path, detector: str) -> None:
    detecting = copied(published["dino"], tmp_path / "detector")
    (detecting / "config.json").write_bytes((published[detector] / "config.json").read_bytes())
    make_open_cascade(published["namer"], detecting, published["sam2"], tmp_path / "open")


@pytest.mark.parametrize("missing", ["config.json", WEIGHTS, "preprocessor_config.json"])
def test_a_missing_file_is_an_error_with_its_name(
    missing: str, published: dict[str, Path], tmp_path: Path
) -> None:
    sam = copied(published["sam2"], tmp_path / "sam")
    (sam / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} is missing"):
        make_open_cascade(published["namer"], published["dino"], sam, tmp_path / "open")


def test_damaged_weights_are_an_error_with_their_folder(
    published: dict[str, Path], tmp_path: Path
) -> None:
    sam = copied(published["sam2"], tmp_path / "sam")
    (sam / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="sam: the weights of SAM 2 cannot be loaded"):
        make_open_cascade(published["namer"], published["dino"], sam, tmp_path / "open")


def test_networks_that_do_not_fit_into_the_memory_are_an_error_before_they_are_read(
    published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = published["namer"], published["dino"], published["sam2"]
    size = sum((folder / WEIGHTS).stat().st_size for folder in folders)
    monkeypatch.setattr(resources, "available_memory", lambda: size - 1)
    monkeypatch.setattr(PeAudioFrameLevelModel, "from_pretrained", pytest.fail)
    with pytest.raises(CheckpointError, match=r"networks of the model need at least .* memory"):
        make_open_cascade(*folders, tmp_path / "open")


def test_a_detector_needs_sam_2_and_sam_3_does_not(
    published: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"is OWLv2, which finds boxes; give .* SAM 2 too"):
        make_open_cascade(published["clap"], published["owlv2"], None, tmp_path / "open")
    with pytest.raises(CheckpointError, match=r"is SAM 3, which segments by itself; leave .*sam2"):
        make_open_cascade(
            published["clap"], published["sam3"], published["sam2"], tmp_path / "open"
        )


def test_a_cascade_of_sam_3_has_its_licence_and_the_command_prints_it(
    published: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(published[part]) for part in ("clap", "sam3")]
    assert run(app, ["make-open-cascade", *folders, "-o", str(tmp_path / "open")]) == 0
    assert "under the SAM License, which allows no military" in capsys.readouterr().err
    assert find_checkpoint(tmp_path / "open").licence == "Apache-2.0 AND SAM License"
    assert load_segmenter(tmp_path / "open", "cpu").segment_clip(clip()).masks.shape == (2, 40, 80)


def test_an_existing_folder_is_not_changed(published: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        make_open_cascade(published["namer"], published["dino"], published["sam2"], tmp_path)


def test_the_command_builds_a_cascade(published: dict[str, Path], tmp_path: Path) -> None:
    folders = [str(published[part]) for part in ("namer", "owlv2", "sam2")]
    assert run(app, ["make-open-cascade", *folders, "-o", str(tmp_path / "open")]) == 0
    load_segmenter(tmp_path / "open", "cpu")


@pytest.mark.parametrize("name", CASCADES)
def test_a_cascade_is_downloaded_by_its_name_from_pinned_revisions(
    name: str, published: dict[str, Path], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    release = RELEASES[name]
    folders = {release.parts[role]: part for role, part in CASCADES[name].items()}
    hashes = {}
    for repository, part in folders.items():
        for path in published[part].iterdir():
            hashes[repository, path.name] = hub.add(repository, path.name, path.read_bytes())
    for file in release.files:
        if file.is_small and (file.repository, file.file) not in hashes:  # older tokenizer files
            hub.add(file.repository, file.file, b"{}")
    # The tiny weights have hashes of their own.
    files = tuple(
        replace(file, sha256=hashes[file.repository, file.file] if file.sha256 else None)
        for file in release.files
    )
    tiny = replace(release, files=files)
    with caplog.at_level(logging.WARNING):
        imported = find_or_import(tiny)
    is_limited = "no military, nuclear or weapons use" in caplog.text
    assert is_limited == ("SAM License" in (imported.notice or "")) == (name == "open-cascade-sam3")
    segmentation = load_segmenter(imported.folder, "cpu").segment_clip(clip())
    assert np.isfinite(segmentation.scores).all()
    asked = {path.split("/")[4] for _, path, _ in hub.requests if "/resolve/" in path}
    assert asked == {file.revision for file in release.files}
    assert all(len(revision) == 40 for revision in asked)
    before = len(hub.requests)
    assert find_or_import(tiny).folder == imported.folder
    assert len(hub.requests) == before
