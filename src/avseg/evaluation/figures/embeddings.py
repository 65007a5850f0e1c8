"""Maps of embeddings: the audio and image embeddings of a data set in two dimensions, by t-SNE.

N is the number of clips; each clip has one embedding of width D per modality.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import CheckpointError, DatasetError, OutputError
from avseg.evaluation.figures.plots import DPI, GREY
from avseg.evaluation.prediction import (
    DataLike,
    SegmenterPredictor,
    load_predictor,
    open_split,
)
from avseg.evaluation.report import write_file
from avseg.models.embedding import Embedder, Modality
from avseg.segmenter import Segmenter
from avseg.synthavs.contents import find_synthavs_split, read_contents

#: Smallest number of clips for a map.
LEAST_CLIPS = 8

#: Largest perplexity, about the number of neighbours that t-SNE considers, and its seed.
_PERPLEXITY, _SEED = 30.0, 0

#: Modality -> its label and marker.
_MARKERS: dict[Modality, tuple[str, str]] = {
    "sound": ("sound", "o"),
    "picture": ("picture", "^"),
    "both": ("sound and picture", "s"),
}

#: Largest number of categories with different colours.
MOST_CATEGORIES = 20

#: Up to this number of categories, the colours are easy to distinguish.
_DISTINCT = 10


@dataclass(frozen=True, eq=False)
class CentredSpace:
    """Centred embeddings of N clips in one space.

    Attributes:
        title: Name of the space.
        points: Unit vectors of each modality, (N, D): embeddings minus the mean of their modality.
    """

    title: str
    points: Mapping[Modality, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class ClipEmbeddings:
    """Embeddings that a model computes for N clips.

    Attributes:
        model: Name of the model.
        data: Subset and split.
        categories: Sounding category of each clip.
        spaces: The embeddings in each space, in the order of the model's forward pass.
    """

    model: str
    data: str
    categories: tuple[str, ...]
    spaces: tuple[CentredSpace, ...]


@dataclass(frozen=True)
class NeighbourShare:
    """Agreement of nearest neighbours in category, which shows how well a space separates them.

    Attributes:
        share: Share of the points whose nearest point has the same category, in [0, 1]. With two
            modalities, the nearest point of the other modality is used. Points of the same clip are
            excluded.
        chance: Expected share if the nearest point were a random one.
    """

    share: float
    chance: float


def draw_embeddings(  # noqa: PLR0913 - one argument for each option of the command
    model: str | PathLike[str] | Segmenter,
    data: DataLike,
    *,
    subset: Subset | None = None,
    split: str = "test",
    output: str | PathLike[str] | None = None,
    clips: int = 400,
    categories: int = 10,
    device: str = "auto",
    offline: bool = False,
    on_clip: Callable[[int, int], object] = lambda *_: None,
) -> Figure:
    """Draw a t-SNE map of the audio and image embeddings of a model.

    Each point is one second of a clip with a single sounding category. Needs scikit-learn.

    Args:
        model: Name of a model, folder of a saved one, or loaded segmenter, of the family
            avseg-av2t-sam, avseg-av2t-sam3 or avseg-tavis.
        data: Folder of the data sets in AVSBench's layout, or an open split.
        subset: Subset of the folder, such as "s4"; None for an open split.
        split: Split of the folder.
        output: The PNG file to write; None to write none.
        clips: Largest number of clips; a larger split is sampled at regular steps.
        categories: Number of categories, at most `MOST_CATEGORIES`; the most frequent ones are
            drawn.
        device: Device of a model that is given by name or folder.
        offline: Whether to download nothing.
        on_clip: Called after each clip with the number done and the total.

    Returns:
        The figure.

    Raises:
        CheckpointError: If there is no such model, or its family provides no embeddings.
        DatasetError: If a file is missing or damaged, or there are too few such clips.
        OutputError: If scikit-learn is missing, or the picture cannot be written.
        ValueError: If an argument is out of its range.
    """
    require_scikit_learn()  # before the clips are embedded, which takes minutes
    predictor = load_predictor(model, data, device=device, offline=offline)
    if not isinstance(predictor, SegmenterPredictor):
        raise CheckpointError(f"{predictor.name} has no embeddings; choose a model of avseg.")
    opened = open_split(data, subset, split, predictor.sample_rate, predictor.audio_channels)
    figure = plot_embeddings(embed_clips(predictor, opened, clips, categories, on_clip))
    if output is not None:
        write_file(Path(output), lambda partial: figure.savefig(partial, dpi=DPI))
    return figure


def require_scikit_learn() -> str:
    """Validate that scikit-learn, which has t-SNE, is installed.

    Returns:
        Its version.

    Raises:
        OutputError: If scikit-learn is missing.
    """
    try:
        from sklearn import __version__
    except ImportError as error:
        raise OutputError(
            'this picture needs scikit-learn, which is not installed; pip install "avseg[draw]".'
        ) from error
    return str(__version__)


def embed_clips(
    predictor: SegmenterPredictor,
    split: AVSBench,
    count: int = 400,
    category_count: int = 10,
    on_clip: Callable[[int, int], object] = lambda *_: None,
) -> ClipEmbeddings:
    """Embed the middle sounding second of each clip with a single sounding category.

    Only one second is used: the frames of a clip are similar, so that several of them would form
    one cluster for each clip instead of one cluster for each category.

    Args:
        predictor: The model.
        split: The data, with audio at the predictor's sample rate.
        count: Largest number of clips; a larger split is sampled at regular steps.
        category_count: Number of categories, at most `MOST_CATEGORIES`; the most frequent ones are
            drawn.
        on_clip: Called after each clip with the number done and the total.

    Returns:
        The embeddings.

    Raises:
        CheckpointError: If the family of the model provides no embeddings.
        DatasetError: If there are too few such clips.
    """
    model = predictor.segmenter.model
    if not isinstance(model, Embedder):
        raise CheckpointError(
            f"{predictor.name} is of the family {model.config.model_type}, which shows no "
            "embeddings; choose a model of avseg-av2t-sam, avseg-av2t-sam3 or avseg-tavis."
        )
    single = _single_category_clips(split, category_count)
    steps = np.linspace(0, len(single) - 1, min(count, len(single))).round().astype(int)
    chosen = dict(list(single.items())[step] for step in steps)
    embedded: list[dict[tuple[str, Modality], NDArray[np.float32]]] = []
    for index in chosen:
        clip = split[index]
        inputs = predictor.encode(clip.clip, predictor.read_audio(split, index))
        # The object may sound in some seconds only: those with a ground-truth mask.
        sounding = np.flatnonzero(clip.masks.any((1, 2)))
        second = int(sounding[len(sounding) // 2]) if len(sounding) else 0
        embedded.append(
            {
                (space.title, modality): points[0, second].float().cpu().numpy()
                for space in model.embed(inputs)
                for modality, points in space.points.items()
            }
        )
        on_clip(len(embedded), len(chosen))
    return ClipEmbeddings(
        predictor.name,
        f"{split.subset}/{split.split}",
        tuple(chosen.values()),
        _as_spaces(embedded),
    )


def nearest_neighbour_share(space: CentredSpace, categories: Sequence[str]) -> NeighbourShare:
    """Compute the share of points whose nearest point has the same category.

    Args:
        space: Embeddings of N clips.
        categories: Category of each clip.

    Returns:
        The share, and the share expected by chance.
    """
    modalities = list(space.points.values())
    # With one modality, the first and the last are the same, so its points are compared with each
    # other.
    # The vectors have unit length, so the products are cosines.
    cosines = [modalities[0] @ modalities[-1].T]
    if len(modalities) > 1:
        cosines.append(cosines[0].T)
    names = np.array(categories)
    same = names[:, None] == names
    # Points of the same clip are excluded: they share the scene, and not only the category.
    others = ~np.eye(len(names), dtype=bool)
    nearest = [np.where(others, cosine, -np.inf).argmax(1) for cosine in cosines]
    share = np.mean([same[np.arange(len(names)), near].mean() for near in nearest])
    return NeighbourShare(float(share), float(same[others].mean()))


def map_space(space: CentredSpace) -> dict[Modality, NDArray[np.float32]]:
    """Project a space to two dimensions by t-SNE (van der Maaten, Hinton 2008), deterministically.

    Args:
        space: Embeddings of N clips.

    Returns:
        Positions by modality, (N, 2) each.

    Raises:
        OutputError: If scikit-learn is missing.
    """
    require_scikit_learn()
    from sklearn.manifold import TSNE

    points = np.concatenate(list(space.points.values()))
    # t-SNE needs a perplexity below the number of points, and works best below a third of it.
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    # Both modalities are projected together: two separate maps would have unrelated axes.
    places = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(points)
    of_modality = np.split(places.astype(np.float32), len(space.points))
    return dict(zip(space.points, of_modality, strict=True))


def plot_embeddings(embedded: ClipEmbeddings) -> Figure:
    """Plot the map of each space: one colour per category, one marker per modality.

    Args:
        embedded: The embeddings.

    Returns:
        The figure.

    Raises:
        OutputError: If scikit-learn is missing.
    """
    version = require_scikit_learn()
    colours = _choose_colours(embedded.categories)
    count, clips = len(embedded.spaces), len(embedded.categories)
    figure = Figure(figsize=(4.6 * count + 1.8, 5.6), layout="constrained")
    for number, space in enumerate(embedded.spaces, start=1):
        _draw_space(figure.add_subplot(1, count, number), space, embedded.categories, colours)
    figure.suptitle(f"{embedded.model} on {embedded.data}: {clips} clips, a second of each")
    figure.supxlabel(
        f"t-SNE (scikit-learn {version}, perplexity up to {_PERPLEXITY:.0f}, seed {_SEED}) of unit "
        "vectors, each kind about its own mean.\nPercentages are of these vectors, not of the map, "
        "by cosine; the nearest is never of the same clip.",
        fontsize=8,
        color=GREY,
    )
    used = {modality: _MARKERS[modality] for s in embedded.spaces for modality in s.points}
    handles = [_handle(label, "black", marker) for label, marker in used.values()]
    handles += [_handle(name.replace("_", " "), colour, "o") for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
    return figure


def _single_category_clips(split: AVSBench, category_count: int) -> dict[int, str]:
    """Return the category of each clip with a single, frequent sounding category, by number."""
    contents = read_contents(split, find_synthavs_split(split)) or []
    # A clip with several sounding categories has no single colour on the map.
    single = {n: min(c.sounding) for n, c in enumerate(contents) if len(c.sounding) == 1}
    # Sorted first, so that the choice among equally frequent categories is deterministic.
    frequent = dict(Counter(sorted(single.values())).most_common(category_count))
    single = {index: name for index, name in single.items() if name in frequent}
    if len(single) < LEAST_CLIPS:
        raise DatasetError(
            f"{split.folder}: {split.split} has {len(single)} clips with a single, known "
            f"sounding category, a map needs {LEAST_CLIPS}; choose s4, or a larger split."
        )
    return single


def _as_spaces(
    embedded: Sequence[Mapping[tuple[str, Modality], NDArray[np.float32]]],
) -> tuple[CentredSpace, ...]:
    """Stack the points of all clips, centre each modality, and L2-normalise.

    Two modalities occupy separate regions of their shared space (the modality gap,
    arXiv:2203.02053). Without centring, each modality would form one cluster on the map.
    """
    spaces: dict[str, dict[Modality, NDArray[np.float32]]] = {}
    for title, modality in embedded[0]:
        points = torch.from_numpy(np.stack([each[title, modality] for each in embedded]))
        unit = torch.nn.functional.normalize(points - points.mean(0), dim=-1)
        spaces.setdefault(title, {})[modality] = unit.numpy()
    return tuple(CentredSpace(title, points) for title, points in spaces.items())


def _draw_space(
    axes: Axes, space: CentredSpace, categories: Sequence[str], colours: Mapping[str, str]
) -> None:
    neighbours = nearest_neighbour_share(space, categories)
    kind = " of the other kind" if len(space.points) > 1 else ""
    axes.set_title(
        f"{space.title}\nnearest{kind} is of the same category: "
        f"{neighbours.share:.0%} (chance: {neighbours.chance:.0%})",
        fontsize=9,
    )
    painted = [colours[name] for name in categories]
    for modality, places in map_space(space).items():
        marker = _MARKERS[modality][1]
        axes.scatter(
            places[:, 0],
            places[:, 1],
            c=painted,
            marker=marker,
            s=34,
            linewidths=0.5,
            edgecolors="white",
        )
    axes.set(xticks=[], yticks=[])


def _choose_colours(categories: Sequence[str]) -> dict[str, str]:
    """Return the colour of each category, by name."""
    names = sorted(set(categories))
    # The 20 colours of "tab20" are 10 pairs of similar ones.
    colours = colormaps["tab10" if len(names) <= _DISTINCT else "tab20"]
    return {name: to_hex(colours(number)) for number, name in enumerate(names)}


def _handle(label: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label)
