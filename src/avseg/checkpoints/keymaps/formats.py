"""Which project a published file is from, told by its keys."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A kind of published file.

    Attributes:
        name: As `source.json` calls it.
        title: As messages call it.
        role: What it is to a model: the trained "system", a tower ("clap", "clip" or "imagebind"),
            or a "part" that a system's file already has in it.
        licence: SPDX identifier of its weights; None where the project states none.
        marks: Prefixes of keys that all occur in such a file, and together in no other.
    """

    name: str
    title: str
    role: str
    licence: str | None
    marks: tuple[str, ...]


#: All formats that are known here.
FORMATS = (
    Format("av2t-sam", "AV2T-SAM", "system", None, ("model.visual_model.", "projector.")),
    Format("evf-sam", "EVF-SAM", "system", "Apache-2.0", ("visual_model.", "mm_extractor.")),
    Format(
        "tavis",
        "TAViS",
        "system",
        "CC-BY-NC-SA-4.0",  # of ImageBind's weights, which the file holds
        ("imagebind.modality_trunks.", "audio_to_texte."),
    ),
    Format("clap-2023", "MS-CLAP 2023", "clap", "MS-PL", ("audio_encoder.base.htsat.",)),
    Format("clip", "CLIP (transformers)", "clip", "MIT", ("vision_model.", "visual_projection.")),
    Format("clip-openai", "CLIP (OpenAI)", "clip", "MIT", ("visual.transformer.resblocks.",)),
    Format(
        "imagebind",
        "ImageBind",
        "imagebind",
        "CC-BY-NC-SA-4.0",
        ("modality_preprocessors.", "modality_trunks."),
    ),
    Format("sam2", "SAM 2", "part", "Apache-2.0", ("image_encoder.trunk.",)),
    Format("sam1", "SAM", "part", "Apache-2.0", ("image_encoder.blocks.",)),
    Format("beit3", "BEiT-3", "part", "MIT", ("beit3.encoder.",)),
)


def detect_format(keys: Iterable[str]) -> Format | None:
    """Recognise a published file.

    Args:
        keys: Names of its tensors.

    Returns:
        Its format, None if it is none of `FORMATS`.
    """
    names = list(keys)
    for known in FORMATS:
        if all(any(name.startswith(mark) for name in names) for mark in known.marks):
            return known
    return None
