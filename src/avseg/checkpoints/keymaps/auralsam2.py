"""Key maps of AuralSAM2 (github.com/yyliu01/AuralSAM2): the fuser with VGGish, or the whole model.

The training saves the fuser with VGGish alone; inference also reads a file with SAM 2, and for
Ref-AVS with the text encoder. Older files have other names for the same layers.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, linear, rename, same
from avseg.checkpoints.keymaps.sam2 import SAM2_IMAGES, SAM2_MEMORY
from avseg.errors import CheckpointError

_IMAGE, _OURS_IMAGE = "f_blocks.{i}.{k}", "image_blocks.{i}.{k}"
_AUDIO, _OURS_AUDIO = "a_blocks.{i}.{k}", "audio_blocks.{i}.{k}"
_FUSION, _OURS_FUSION = "fusion_modules.{i}", "fusions.{i}"

_BLOCKS = KeyMap(
    (
        *(
            rename(f"{published}.{theirs}.{{part}}", f"{ours}.{mine}.{{part}}")
            for published, ours in ((_IMAGE, _OURS_IMAGE), (_AUDIO, _OURS_AUDIO))
            for theirs, mine in (
                ("norm1", "norm1"),
                ("norm2", "norm2"),
                ("attn.q", "query"),
                ("attn.kv", "key_value"),
                ("attn.proj", "out"),
                ("mlp.fc1", "fc1"),
                ("mlp.fc2", "fc2"),
            )
        ),
        rename(_IMAGE + ".attn.sr.{part}", _OURS_IMAGE + ".reduce.{part}"),
        rename(_IMAGE + ".attn.norm.{part}", _OURS_IMAGE + ".reduce_norm.{part}"),
        rename(_IMAGE + ".mlp.dwconv.dwconv.{part}", _OURS_IMAGE + ".depthwise.{part}"),
        # The audio blocks declare the convolutions of the image blocks, and never use them.
        drop(_AUDIO + ".attn.{name:sr|norm}.{part}"),
        drop(_AUDIO + ".mlp.dwconv.dwconv.{part}"),
    )
)

_FUSIONS = KeyMap(
    (
        *linear(_FUSION + ".align_channel", _OURS_FUSION + ".align", axes=1),
        *(
            entry
            for kind, theirs, axes in (("image", "frame", 3), ("audio", "audio", 1))
            for letter, word in (("q", "query"), ("k", "key"), ("v", "value"))
            for entry in linear(
                f"{_FUSION}.{letter}_{theirs}", f"{_OURS_FUSION}.{kind}_{word}", axes=axes
            )
        ),
        *linear(_FUSION + ".W_z.0", _OURS_FUSION + ".image_out", axes=3),
        *linear(_FUSION + ".W_z2.0", _OURS_FUSION + ".audio_out", axes=1),
        rename(_FUSION + ".W_z.1.{part}", _OURS_FUSION + ".image_batch_norm.{part}"),
        rename(_FUSION + ".W_z2.1.{part}", _OURS_FUSION + ".audio_batch_norm.{part}"),
        rename(_FUSION + ".norm_layer.{part}", _OURS_FUSION + ".image_norm.{part}"),
        rename(_FUSION + ".norm_layer2.{part}", _OURS_FUSION + ".audio_norm.{part}"),
        # Declared and never used.
        drop(_FUSION + ".{name:g|align_channel_back}.{part}"),
    )
)

_HEADS = KeyMap(
    tuple(
        entry
        for theirs, ours, axes in (("v1", "image_head", 2), ("a1", "audio_head", 1))
        for entry in (
            *linear(f"train_proj_{theirs}.proj.0", f"{ours}.fc1", axes=axes),
            rename(f"train_proj_{theirs}.proj.1.{{part}}", f"{ours}.batch_norm.{{part}}"),
            *linear(f"train_proj_{theirs}.proj.2", f"{ours}.fc2", axes=axes),
        )
    )
)

_TEXT_HEADS = KeyMap(
    tuple(
        rename(f"train_proj_{theirs}.proj.{index}.{{part}}", f"{ours}.{layer}.{{part}}")
        for theirs, ours in (("v1", "image_head"), ("a1", "audio_head"))
        for index, layer in ((0, "fc1"), (2, "norm"), (3, "fc2"))
    )
) + KeyMap((rename("text_proj.{i}.{part}", "text_projection.{i}.{part}"),))


def _with_heads(heads: KeyMap) -> KeyMap:
    """Return the key map of the fuser with these heads, and of VGGish."""
    shared = KeyMap(
        (
            rename("patch_embeds.{i}.{part}", "patches.{i}.{part}"),
            *linear("smooth_convs.{i}", "smooth.{i}", axes=2),
        )
    )
    vggish = KeyMap((same("{name:features|embeddings}.{i}.{part}"),)).under("vgg.", "vggish.")
    return (shared + _BLOCKS + _FUSIONS + heads).under("", "fuser.") + vggish


#: The fuser and VGGish, as the training saves them, and the same of the model for Ref-AVS.
AURALSAM2_FUSER = _with_heads(_HEADS)
AURALSAM2_TEXT_FUSER = _with_heads(_TEXT_HEADS)

#: SAM 2 with its memory, by the names that it has in the model.
AURALSAM2_SAM2 = SAM2_IMAGES.under("", "sam.sam2.") + SAM2_MEMORY.under("", "memory.")

#: The whole model.
AURALSAM2 = AURALSAM2_SAM2.under("v_model.", "") + AURALSAM2_FUSER.under("aural_fuser.", "")

#: RoBERTa as a masked language model, whose output layer is not used.
ROBERTA = KeyMap(
    (
        drop("lm_head.{part}"),
        drop("roberta.pooler.{part}"),
        drop("roberta.embeddings.position_ids"),
        rename("roberta.{part}", "text_encoder.roberta.{part}"),
    )
)

#: RoBERTa in a file of the whole model; its pooling layer has random weights there.
_TEXT_ENCODER = KeyMap(
    (
        drop("pooler.{part}"),
        drop("embeddings.position_ids"),
        rename("{part}", "text_encoder.roberta.{part}"),
    )
).under("t_model.", "")

#: The whole model for Ref-AVS.
AURALSAM2_TEXT = (
    AURALSAM2_SAM2.under("v_model.", "")
    + AURALSAM2_TEXT_FUSER.under("aural_fuser.", "")
    + _TEXT_ENCODER
)

#: Layers that older files have in one list, by their index in it.
_TRAINING_LAYERS = (
    *(f"patch_embeds.{i}" for i in range(3)),
    *(f"{kind}.{i}" for i in range(3) for kind in ("f_blocks", "a_blocks", "fusion_modules")),
    *("smooth_convs.0", "smooth_convs.1", "train_proj_v1", "train_proj_a1", "text_proj"),
)

#: Names of layers in older files, numbered from 1, and their names now, numbered from 0.
_OLD_LAYERS = {
    "train_f_patch_embed": "patch_embeds",
    "train_f_a_block": "fusion_modules",
    "train_f_block": "f_blocks",
    "train_a_block": "a_blocks",
    "train_smooth": "smooth_convs",
}
_OLD_LAYER = re.compile(rf"({'|'.join(_OLD_LAYERS)})(\d)\.(.+)")
_LISTED_LAYER = re.compile(r"(training|finetuning)_layers\.(\d+)\.(.+)")


def current_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an older file of AuralSAM2; those of other files keep their names.

    Args:
        published: All tensors of a file.

    Returns:
        The tensors by the names of current files.

    Raises:
        CheckpointError: If the file has two different tensors for one layer.
    """
    is_whole = any(name.startswith("v_model.") for name in published)
    tensors: dict[str, Tensor] = {}
    for name, values in published.items():
        current = _current_name(name, is_whole)
        # Older files have the same layers a second time, in a list.
        if current in tensors and not torch.equal(tensors[current], values):
            raise CheckpointError(
                f"{name} is a second tensor of {current}, and the two differ; download the file "
                "again."
            )
        tensors[current] = values
    return tensors


def _current_name(name: str, is_whole: bool) -> str:
    prefix, rest = "", name
    for old in ("audio_prompter.", "aural_fuser."):
        if name.startswith(old):
            # A file without SAM 2 has no prefix today.
            prefix, rest = "aural_fuser." if is_whole else "", name.removeprefix(old)
    if match := _OLD_LAYER.fullmatch(rest):
        rest = f"{_OLD_LAYERS[match[1]]}.{int(match[2]) - 1}.{match[3]}"
    elif match := _LISTED_LAYER.fullmatch(rest):
        index = int(match[2])
        if match[1] == "finetuning" and index == 0:
            rest = f"vgg.{match[3]}"
        elif match[1] == "training" and index < len(_TRAINING_LAYERS):
            rest = f"{_TRAINING_LAYERS[index]}.{match[3]}"
    return prefix + rest
