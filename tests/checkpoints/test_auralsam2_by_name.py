"""AuralSAM2's models are downloaded, imported and used by their names in the catalog."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avseg.batch import segment
from avseg.checkpoints import importing
from avseg.checkpoints.catalog import find_listing
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.keymaps.auralsam2 import (
    AURALSAM2,
    AURALSAM2_SAM2,
    AURALSAM2_TEXT,
    ROBERTA,
)
from avseg.checkpoints.known_models import RELEASES
from avseg.checkpoints.model_folder import Checkpoint
from avseg.segmenter import load_segmenter
from tests.checkpoints.hub import LocalHub
from tests.models.auralsam2_factories import AURALSAM2 as SIZES
from tests.models.auralsam2_factories import TEXT, build, build_text, text_tokenizer
from tests.segmenters import make_video, tone

FUSER = "aural_fuser."


def content(tensors: dict[str, Tensor], path: Path) -> bytes:
    """Return the bytes of a published file."""
    if path.suffix == ".safetensors":
        save_file({name: values.contiguous() for name, values in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path.read_bytes()


def publish(name: str, hub: LocalHub, folder: Path) -> None:
    """Publish tiny files in the true formats under the names of the catalog."""
    is_text = name == "auralsam2-refavs"
    state = (build_text() if is_text else build()).state_dict()
    whole = (AURALSAM2_TEXT if is_text else AURALSAM2).to_published(state)
    fuser = {n.removeprefix(FUSER): v for n, v in whole.items() if n.startswith(FUSER)}
    sam2 = AURALSAM2_SAM2.to_published(
        {n: v for n, v in state.items() if n.startswith(("sam.", "memory."))}
    )
    files = {".pth": fuser, ".pt": sam2}
    if is_text:
        files[".safetensors"] = ROBERTA.to_published(
            {n: v for n, v in state.items() if n.startswith("text_encoder.")}
        )
    for file in RELEASES[name].files:
        suffix = Path(file.file).suffix
        tokenizer = text_tokenizer().content.encode()
        found = files.get(suffix)
        values = tokenizer if found is None else content(found, folder / f"a{suffix}")
        hub.add(file.repository, file.file, values)


@pytest.mark.parametrize("name", ["auralsam2-v1s", "auralsam2-v2", "auralsam2-refavs"])
def test_a_film_is_segmented_by_the_name_of_the_model(
    name: str, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_text = name == "auralsam2-refavs"

    def with_sizes(files: Sequence[Path], output: Path, config: Path | None) -> Checkpoint:
        # The importer reads the published sizes without a file, and the options of the catalog.
        options = json.loads(config.read_text()) if config else {}
        (TEXT if is_text else SIZES).replace(**options).to_json_file(tmp_path / "sizes.json")
        return import_checkpoint(files, output, config=tmp_path / "sizes.json")

    monkeypatch.setattr(importing, "convert_published", with_sizes)
    publish(name, hub, tmp_path)
    assert find_listing(name).state == "downloadable"
    video = make_video(tmp_path / "a.mkv", tone(1), seconds=1)
    text = ["the left dog"] if is_text else []
    segment(video, tmp_path / "out", model=name, text=text, frames_per_second=2, isolate=False)
    result = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert result["model"]["name"] == name
    assert len(result["frames"]) == 2
    assert find_listing(name).state == "imported"
    segmenter = load_segmenter(name, "cpu", offline=True)
    assert segmenter.model.config.window_frames == (10 if name == "auralsam2-v2" else 3)
    # The model for AVSBench-semantic has one mask, and names nothing.
    assert not segmenter.vocabulary
