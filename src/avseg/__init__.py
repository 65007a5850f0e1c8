"""Audio-visual segmentation: mark the sounding objects of a video.

This module is the public API. Each name is imported from its module at first use (PEP 562), so
`import avseg` is fast and the command line can print its help without loading torch.
"""

from typing import TYPE_CHECKING

from avseg.version import __version__

__all__ = [
    "AVSBench",
    "AvsegError",
    "Clip",
    "Segmentation",
    "Segmenter",
    "VideoInfo",
    "VideoOutcome",
    "__version__",
    "check_data",
    "choose_audio",
    "compare",
    "draw_comparison",
    "draw_embeddings",
    "evaluate",
    "import_checkpoint",
    "load_segmenter",
    "make_cascade",
    "make_open_cascade",
    "probe",
    "read_clip",
    "reproduce",
    "save_masks",
    "save_overlay",
    "score",
    "segment",
    "stream_clips",
    "synthesize_data",
    "train",
]

if TYPE_CHECKING:
    from avseg.batch import VideoOutcome, segment
    from avseg.checkpoints.cascade_building import make_cascade
    from avseg.checkpoints.conversion import import_checkpoint
    from avseg.checkpoints.open_cascade_building import make_open_cascade
    from avseg.datasets import AVSBench, check_data
    from avseg.errors import AvsegError
    from avseg.evaluation.compare import compare
    from avseg.evaluation.evaluate import evaluate
    from avseg.evaluation.figures.comparison_sheet import draw_comparison
    from avseg.evaluation.figures.embeddings import draw_embeddings
    from avseg.evaluation.protocol_scores import score
    from avseg.export import save_masks, save_overlay
    from avseg.media import choose_audio, probe, read_clip, stream_clips
    from avseg.reproduction.papers import reproduce
    from avseg.segmenter import Segmenter, load_segmenter
    from avseg.synthavs.synthesize import synthesize_data
    from avseg.training import train
    from avseg.types import Clip, Segmentation, VideoInfo
else:
    # Type checkers must not see `__getattr__`: with it, they would accept any misspelt name.
    import importlib

    #: Public name -> the module it comes from.
    _MODULES = {
        "AVSBench": "datasets",
        "AvsegError": "errors",
        "Clip": "types",
        "Segmentation": "types",
        "Segmenter": "segmenter",
        "VideoInfo": "types",
        "VideoOutcome": "batch",
        "check_data": "datasets",
        "choose_audio": "media",
        "compare": "evaluation.compare",
        "draw_comparison": "evaluation.figures.comparison_sheet",
        "draw_embeddings": "evaluation.figures.embeddings",
        "evaluate": "evaluation.evaluate",
        "import_checkpoint": "checkpoints.conversion",
        "load_segmenter": "segmenter",
        "make_cascade": "checkpoints.cascade_building",
        "make_open_cascade": "checkpoints.open_cascade_building",
        "probe": "media",
        "read_clip": "media",
        "reproduce": "reproduction.papers",
        "save_masks": "export",
        "save_overlay": "export",
        "score": "evaluation.protocol_scores",
        "segment": "batch",
        "stream_clips": "media",
        "synthesize_data": "synthavs.synthesize",
        "train": "training",
    }

    def __getattr__(name: str) -> object:
        """Import a public name from its module and cache it for the next use."""
        if name not in _MODULES:
            raise AttributeError(
                f"module 'avseg' has no attribute {name!r}; it has {', '.join(__all__)}."
            )
        value = getattr(importlib.import_module(f"avseg.{_MODULES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, including those that are not imported yet."""
        return sorted({*globals(), *__all__})
