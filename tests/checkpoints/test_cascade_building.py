"""A cascade is built from an EVF-SAM and MS-CLAP's published file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import BPE

from avseg.backbones.clap_text import ClapTextTowerConfig
from avseg.backbones.tokenizing import SentencePieceTokenizer
from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.cascade_building import make_cascade
from avseg.checkpoints.keymaps.clap import CLAP_WITH_TEXT
from avseg.checkpoints.known_models import RELEASES
from avseg.checkpoints.loading import load_checkpoint
from avseg.cli.main import app, run
from avseg.errors import CheckpointError, OutputError
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.evf_sam import EvfSamModel, EvfSamProcessor
from avseg.models.vocabulary import avsbench_names
from avseg.segmenter import load_segmenter
from tests.checkpoints.hub import LocalHub
from tests.checkpoints.test_importing_evf_sam import make_config
from tests.models.factories import CASCADE, SAM1, SAM2, randomise
from tests.models.open_parts import publish_sam3
from tests.published import UNUSED_OF_CLAP, some, write_tokenizer
from tests.segmenters import make_video, tone

#: Tokens of single bytes, and the end token.
TEXT = ClapTextTowerConfig(
    vocab_size=257,
    max_positions=80,
    end_token_id=256,
    dim=16,
    num_layers=2,
    num_heads=2,
    projection_dim=20,
)
SIZES: Any = CASCADE.replace(
    namer_config={"text_config": TEXT}, sound_prompt="this is the sound of {name}"
)


def save_evf_sam(folder: Path, sam: Any = SAM2) -> Path:
    """Save a tiny EVF-SAM with a tokenizer."""
    torch.manual_seed(0)
    config: Any = make_config(sam).replace(
        keep_proportions=sam is SAM1, beit3_config={"max_text_positions": 40}
    )
    model = EvfSamModel(config)
    randomise(model)
    model.save_pretrained(folder)
    tokenizer = SentencePieceTokenizer.from_file(write_tokenizer(folder.parent / "published"))
    EvfSamProcessor.from_config(config, tokenizer).save_pretrained(folder)
    return folder


def write_clap(path: Path) -> CascadeModel:
    """Write a cascade's towers as MS-CLAP's authors would publish them; return the cascade."""
    torch.manual_seed(1)
    model = CascadeModel(SIZES)
    randomise(model, seed=1)
    published = CLAP_WITH_TEXT.to_published(model.namer.state_dict())
    unused = {k: v for k, v in UNUSED_OF_CLAP.items() if k.startswith("audio_encoder.")}
    unused["caption_encoder.base.h.1.attn.bias"] = (1, 1, 4, 4)
    torch.save({"model": published | some(unused)}, path)
    return model


def write_gpt2_tokenizer(path: Path) -> Path:
    """Write a tokenizer of GPT-2's kind without merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    tokenizer.save(str(path))
    return path


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Write EVF-SAM's folder, CLAP's file, and GPT-2's tokenizer."""
    write_clap(tmp_path / "clap.pth")
    return (
        save_evf_sam(tmp_path / "evf_sam"),
        tmp_path / "clap.pth",
        write_gpt2_tokenizer(tmp_path / "tokenizer.json"),
    )


def test_the_key_map_of_both_towers_has_the_published_names() -> None:
    with torch.device("meta"):
        state = CascadeModel(CascadeConfig()).namer.state_dict()
    names = CLAP_WITH_TEXT.to_published(state)
    assert names["caption_encoder.base.wte.weight"].shape == (50257, 768)
    assert names["caption_encoder.base.h.11.mlp.c_proj.weight"].shape == (3072, 768)
    assert names["caption_encoder.projection.linear2.weight"].shape == (1024, 1024)
    assert names["logit_scale"].shape == ()


def test_a_cascade_has_the_weights_of_both_models(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    evf_sam, clap, tokenizer = parts
    made = make_cascade(evf_sam, clap, tokenizer, tmp_path / "cascade", config=SIZES)
    model, processor = load_checkpoint(find_checkpoint(made.folder))
    heard, (seen, _) = write_clap(clap), load_checkpoint(find_checkpoint(evf_sam))
    for name, values in model.state_dict().items():
        expected = (seen if name.startswith("segmenter.") else heard).state_dict()[name]
        assert torch.equal(values, expected), name
    assert isinstance(processor, CascadeProcessor)
    assert processor.vocabulary == avsbench_names()
    described = json.loads((tmp_path / "cascade" / "source.json").read_text())["sources"]
    assert [source["role"] for source in described] == ["segmenter", "clap", "tokenizer"]


def test_an_existing_folder_is_not_changed(parts: tuple[Path, Path, Path]) -> None:
    evf_sam, clap, tokenizer = parts
    with pytest.raises(OutputError, match="exists already"):
        make_cascade(evf_sam, clap, tokenizer, evf_sam, config=SIZES)


def test_a_cascade_on_sam_1_predicts_the_masks_of_its_evf_sam(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, clap, tokenizer = parts
    evf_sam = save_evf_sam(tmp_path / "sam1", SAM1)
    made = make_cascade(evf_sam, clap, tokenizer, tmp_path / "cascade", config=SIZES)
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)  # wider than high
    cascade = load_segmenter(made.folder, "cpu").with_vocabulary("dog")
    by_text = load_segmenter(evf_sam, "cpu").with_texts("dog")
    marked = cascade(video, 2)
    assert marked.masks.any()
    assert not marked.masks.all()
    np.testing.assert_array_equal(marked.masks, by_text(video, 2).masks)


def test_sam_3_from_the_hub_segments_in_a_cascade_with_its_licence(
    parts: tuple[Path, Path, Path], tmp_path: Path, hub: LocalHub
) -> None:
    _, clap, tokenizer = parts
    for file in publish_sam3(tmp_path / "published").iterdir():
        hub.add("facebook/sam3", file.name, file.read_bytes())
    for named in RELEASES["sam3"].files:
        hub.files["facebook/sam3"].setdefault(named.file, b"{}")  # older tokenizer files
    made = make_cascade("sam3", clap, tokenizer, tmp_path / "cascade", config=SIZES)
    assert "SAM License" in (made.notice or "")
    alone = load_checkpoint(find_checkpoint("sam3"))[0].state_dict()
    state = load_checkpoint(find_checkpoint(made.folder))[0].state_dict()
    assert all(torch.equal(state[name], values) for name, values in alone.items())
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    segmenter = load_segmenter(made.folder, "cpu").with_vocabulary("dog")
    assert segmenter(video, 2).masks.shape[0] == 2
    assert segmenter.licence == made.licence


def test_another_model_than_an_evf_sam_or_sam_3_is_rejected(
    parts: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, clap, tokenizer = parts
    arguments = ["av2t-sam-small", clap, tokenizer, "-o", tmp_path / "cascade"]
    assert run(app, ["make-cascade", *map(str, arguments)]) == 1
    assert "is neither an EVF-SAM nor a SAM 3" in capsys.readouterr().err


def test_a_file_that_is_not_the_whole_of_clap_is_rejected(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    evf_sam, clap, tokenizer = parts
    state = torch.load(clap, weights_only=True)["model"]
    del state["logit_scale"]
    torch.save(state, clap)
    with pytest.raises(CheckpointError, match=r"clap.pth: does not fit .* missing: logit_scale"):
        make_cascade(evf_sam, clap, tokenizer, tmp_path / "cascade", config=SIZES)
    torch.save({"wte.weight": torch.zeros(2)}, clap)
    with pytest.raises(CheckpointError, match="is of an unknown format; give MS-CLAP"):
        make_cascade(evf_sam, clap, tokenizer, tmp_path / "cascade", config=SIZES)
    assert not (tmp_path / "cascade").exists()
