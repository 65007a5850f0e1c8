"""Building of an open cascade from the published files of its networks."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import (
    ClapModel,
    GroundingDinoForObjectDetection,
    Owlv2ForObjectDetection,
    PeAudioFrameLevelModel,
    Sam2Model,
)

from avseg.atomic import replace_when_complete
from avseg.backbones.box_segmenter import BoxSegmenterConfig
from avseg.backbones.config import StrictConfig
from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.backbones.laion_clap import LaionClapConfig
from avseg.backbones.pe_a_frame import PeAFrameConfig
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.text_detectors import GroundingDinoDetectorConfig, Owlv2DetectorConfig
from avseg.checkpoints.model_folder import SOURCE_FILE, WEIGHTS_FILE, Checkpoint, file_sha256
from avseg.checkpoints.published_networks import (
    LoadedNetwork,
    PublishedNetwork,
    check_preprocessing,
    check_space,
    load_network,
    recognise_network,
    statistics_options,
)
from avseg.checkpoints.sam3_building import LICENCE as SAM3_LICENCE
from avseg.checkpoints.sam3_building import SAM3, build_sam3_config
from avseg.checkpoints.saving import explain_weight_write_errors, save_weights
from avseg.errors import CheckpointError, OutputError
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.cascade.configuration import NAME
from avseg.models.picture_inputs import PICTURE_TOKENIZER
from avseg.models.processor import CLIP_STATISTICS, SAM_STATISTICS
from avseg.models.sound_inputs import SOUND_TOKENIZER

#: The longest window for which a clip has enough audio at its ends, in seconds.
_WINDOW_S = 2.0

#: The licence of every network but SAM 3, according to their pages on the Hub.
_LICENCE = "Apache-2.0"

_NAMERS = (
    PublishedNetwork("PE-A-Frame", PeAudioFrameLevelModel, "namer.pe_audio", ("pe_audio",)),
    PublishedNetwork("CLAP", ClapModel, "namer.clap", ("clap",)),
)
_DETECTORS = (
    PublishedNetwork(
        "Grounding DINO",
        GroundingDinoForObjectDetection,
        "segmenter.detector.network",
        ("grounding-dino",),
    ),
    PublishedNetwork("OWLv2", Owlv2ForObjectDetection, "segmenter.detector.network", ("owlv2",)),
)
# The published files have SAM 2's memory too, so their configuration is that of the video model.
_SAMS = (PublishedNetwork("SAM 2", Sam2Model, "segmenter.sam.sam2", ("sam2", "sam2_video")),)


#: The networks that each role accepts. SAM 3 finds and segments the named objects by itself.
_ROLES = {"namer": _NAMERS, "detector": _DETECTORS, "sam": _SAMS, "sam3": (SAM3,)}


def make_open_cascade(
    namer: str | Path, detector: str | Path, sam: str | Path | None, output: str | Path
) -> Checkpoint:
    """Build an open cascade from folders with published files; nothing is trained.

    Each folder has the files of one repository: config.json, model.safetensors, the file of the
    preprocessing (preprocessor_config.json, for SAM 3 processor_config.json), and those of the
    tokenizer, which SAM 2 does not have.

    Args:
        namer: Folder of PE-A-Frame or CLAP, which names the sounds.
        detector: Folder of Grounding DINO or OWLv2, which finds the named objects; or of SAM 3,
            which segments them too.
        sam: Folder of SAM 2 or SAM 2.1, which segments the boxes of the detector; None with SAM 3.
        output: The folder to create; it appears when it is complete.

    Returns:
        The cascade, with AVSBench's vocabulary.

    Raises:
        CheckpointError: If a file is missing, damaged or of another kind, keys are missing or
            unexpected, or the networks do not fit into the memory.
        OutputError: If the folder exists already, cannot be written, or its disk is too small.
        PromptError: If a tokenizer cannot encode the vocabulary.
    """
    output = Path(output)
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another folder.")
    folders = _folders(Path(namer), Path(detector), None if sam is None else Path(sam))
    # Tokenizers first: they are small, and a missing file is found before gigabytes are read.
    sound = HubTokenizer.from_files(Path(namer), SOUND_TOKENIZER)
    picture = HubTokenizer.from_files(Path(detector), PICTURE_TOKENIZER)
    check_space(folders.values(), output)
    networks = {role: load_network(folder, _ROLES[role]) for role, folder in folders.items()}
    sizes = _cascade_config(folders, networks, picture)
    processor = CascadeProcessor.from_config(sizes, sound, picture)
    # This encodes the vocabulary, so a tokenizer that cannot encode it is an error before writing.
    processor = processor.with_vocabulary(processor.vocabulary)
    tensors = _collect_tensors(sizes, networks.values())
    licences = {role: SAM3_LICENCE if role == "sam3" else _LICENCE for role in folders}
    with replace_when_complete(output) as folder, explain_weight_write_errors(output, tensors):
        folder.mkdir()
        save_weights(tensors, folder / WEIGHTS_FILE)
        sizes.save_pretrained(folder)
        processor.save_pretrained(folder)
        origins = [
            {
                "role": role,
                "file": WEIGHTS_FILE,
                "sha256": file_sha256(part / WEIGHTS_FILE),
                "licence": licences[role],
            }
            for role, part in folders.items()
        ]
        described = json.dumps({"sources": origins}, indent=2) + "\n"
        (folder / SOURCE_FILE).write_text(described, encoding="utf-8")
    licence = " AND ".join(sorted({*licences.values()}))
    return Checkpoint(output.resolve().name, output, licence=licence)


def _folders(namer: Path, detector: Path, sam: Path | None) -> dict[str, Path]:
    """Return the folder of each role, and refuse a detector without SAM 2, or SAM 3 with it."""
    found = recognise_network(detector, (*_DETECTORS, SAM3))
    if found is SAM3:
        if sam is not None:
            raise CheckpointError(
                f"{detector}: is SAM 3, which segments by itself; leave {sam} out."
            )
        return {"namer": namer, "sam3": detector}
    if sam is None:
        raise CheckpointError(
            f"{detector}: is {found.title}, which finds boxes; give the folder of SAM 2 too, which "
            "segments them."
        )
    return {"namer": namer, "detector": detector, "sam": sam}


def _cascade_config(
    folders: Mapping[str, Path], networks: Mapping[str, LoadedNetwork], tokenizer: HubTokenizer
) -> CascadeConfig:
    """Build the configuration of the cascade from those of its networks."""
    namer, rule = _namer_config(folders["namer"], networks["namer"])
    segmenter: StrictConfig
    if "sam3" in networks:
        segmenter = build_sam3_config(folders["sam3"], networks["sam3"], tokenizer)
        prompt = NAME
    else:
        detector, prompt = _detector_config(folders["detector"], networks["detector"])
        sam = _sam_config(folders["sam"], networks["sam"])
        segmenter = BoxSegmenterConfig(detector_config=detector, sam_config=sam)
    return CascadeConfig(
        namer_config=namer,
        segmenter_config=segmenter,
        picture_prompt=prompt,
        object_captions=True,
        **rule,
    )


def _namer_config(folder: Path, network: LoadedNetwork) -> tuple[StrictConfig, dict[str, Any]]:
    """Build the namer's configuration, and the options of the cascade that depend on the namer."""
    options = network.preprocessing
    rate = options.get("sampling_rate", 48000)
    if network.known.network is ClapModel:
        clap = _clap_config(folder, network)
        return clap, {
            "window_s": min(_WINDOW_S, float(clap.max_s)),
            "sound_prompt": f"this is a sound of {NAME}",
            # Chosen with small networks instead of CLAP; see the README of the cascade.
            "min_score": 0.15,
            "min_share": 0.0,
        }
    namer = PeAFrameConfig(pe_audio_config=network.config, sample_rate=rate)
    check_preprocessing(folder, network, {"hop_length": namer.hop})
    return namer, {
        "window_s": round(_WINDOW_S * rate / namer.hop) * namer.hop / rate,
        "sound_prompt": NAME,
        "min_score": 0.5,
        "min_share": 0.0,
    }


def _clap_config(folder: Path, network: LoadedNetwork) -> LaionClapConfig:
    """Build CLAP's configuration with the options of its published feature extractor."""
    options = network.preprocessing
    # `LaionClapInputs` has no other padding.
    wanted = {"padding": "repeatpad", "truncation": "rand_trunc", "top_db": None}
    check_preprocessing(folder, network, wanted)
    try:
        clap = LaionClapConfig(
            clap_config=network.config,
            sample_rate=int(options.get("sampling_rate", 48000)),
            n_fft=int(options.get("fft_window_size", 1024)),
            hop=int(options.get("hop_length", 480)),
            fmin=float(options.get("frequency_min", 50)),
            fmax=float(options.get("frequency_max", 14000)),
            max_s=int(options.get("max_length_s", 10)),
        )
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise CheckpointError(
            f"{folder}: the options of CLAP cannot be used ({error}); give "
            "laion/clap-htsat-unfused."
        ) from error
    check_preprocessing(folder, network, {"feature_size": clap.num_mel_bins})
    return clap


def _detector_config(folder: Path, network: LoadedNetwork) -> tuple[StrictConfig, str]:
    """Build the configuration of the detector, and the prompt that it was trained with."""
    detector: StrictConfig
    if network.known.network is Owlv2ForObjectDetection:
        detector = Owlv2DetectorConfig(owlv2_config=network.config)
        side = detector.image_size
        wanted = {"size": {"height": side, "width": side}, **statistics_options(CLIP_STATISTICS)}
        prompt = f"a photo of a {NAME}"
    else:
        size = network.preprocessing.get("size", {})
        detector = GroundingDinoDetectorConfig(
            grounding_dino_config=network.config,
            shortest_side=size.get("shortest_edge", 800),
            longest_side=size.get("longest_edge", 1333),
        )
        wanted, prompt = statistics_options(SAM_STATISTICS), NAME
    check_preprocessing(folder, network, wanted)
    return detector, prompt


def _sam_config(folder: Path, sam_network: LoadedNetwork) -> PromptedSam2Config:
    """Convert the configuration of SAM 2, and check that nothing of it is lost."""
    vision, hiera = (
        sam_network.config.vision_config,
        sam_network.config.vision_config.backbone_config,
    )
    decoder = sam_network.config.mask_decoder_config
    sizes = PromptedSam2Config(
        image_size=hiera.image_size[0],
        patch_kernel=hiera.patch_kernel_size[0],
        patch_stride=hiera.patch_stride[0],
        blocks_per_stage=list(hiera.blocks_per_stage),
        embed_dims=list(hiera.embed_dim_per_stage),
        num_heads=list(hiera.num_attention_heads_per_stage),
        window_sizes=list(hiera.window_size_per_stage),
        global_blocks=list(hiera.global_attention_blocks),
        prompt_dim=vision.fpn_hidden_size,
        decoder_layers=decoder.num_hidden_layers,
        decoder_heads=decoder.num_attention_heads,
        decoder_mlp_dim=decoder.mlp_dim,
        iou_head_dim=decoder.iou_head_hidden_dim,
    )
    with torch.device("meta"):
        shapes = {n: v.shape for n, v in Sam2Model(sizes.to_transformers()).state_dict().items()}
    if shapes != {name: values.shape for name, values in sam_network.tensors.items()}:
        raise CheckpointError(
            f"{folder}: is a SAM 2 of other proportions than avseg builds; give "
            "facebook/sam2.1-hiera-tiny or -small."
        )
    side = sizes.image_size
    wanted = {"size": {"height": side, "width": side}, **statistics_options(SAM_STATISTICS)}
    check_preprocessing(folder, sam_network, wanted)
    return sizes


def _collect_tensors(sizes: CascadeConfig, parts: Iterable[LoadedNetwork]) -> dict[str, Tensor]:
    """Collect the tensors of the networks under their names in the cascade."""
    tensors = {
        f"{part.known.path}.{name}": values
        for part in parts
        for name, values in part.tensors.items()
    }
    # A tensor that two modules share is saved once, as `save_pretrained` does.
    with torch.device("meta"):
        shared: Mapping[str, str] = CascadeModel(sizes).all_tied_weights_keys
    return {name: values for name, values in tensors.items() if name not in shared}
