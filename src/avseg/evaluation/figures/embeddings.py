"""Where a model places the sounds and the pictures of a data set, as a map in two dimensions.

N clips with one point for each modality, D width of an embedding.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avseg.datasets.avsbench import AVSBench
from avseg.errors import CheckpointError, DatasetError, OutputError
from avseg.evaluation.figures.plots import GREY
from avseg.evaluation.prediction import prepare, read_waveform, require_listening
from avseg.models.embedding import Embedder, Modality
from avseg.segmenter import Segmenter
from avseg.synthavs.contents import find_synthavs_split, read_contents

#: Fewer clips than this are no map.
LEAST_CLIPS = 8

#: Largest perplexity, about the number of neighbours that t-SNE looks at, and its seed.
_PERPLEXITY, _SEED = 30.0, 0

#: What is embedded -> what it is called, and its marker.
_MARKERS: dict[Modality, tuple[str, str]] = {
    "sound": ("sound", "o"),
    "picture": ("picture", "^"),
    "both": ("sound and picture", "s"),
}

#: Most categories that have colours of their own.
MOST_CATEGORIES = 20

#: Up to so many categories, their colours are easily told apart.
_DISTINCT = 10


@dataclass(frozen=True, eq=False)
class Space:
    """Embeddings of N clips that may be compared with each other.

    Attributes:
        title: Which space it is.
        points: By what is embedded, unit vectors (N, D) about the mean of their kind.
    """

    title: str
    points: Mapping[Modality, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a model makes of N clips.

    Attributes:
        model: Its name.
        data: Subset and split.
        categories: What sounds in each clip.
        spaces: Where it is placed, in the order of the model's path.
    """

    model: str
    data: str
    categories: tuple[str, ...]
    spaces: tuple[Space, ...]


@dataclass(frozen=True)
class Neighbours:
    """How far a space tells categories apart.

    Attributes:
        share: Share of the points whose nearest point has their category, in [0, 1]; the nearest of
            the other modality, if there are two, and never of the same clip.
        chance: The same for a point drawn by chance.
    """

    share: float
    chance: float


def require_scikit_learn() -> str:
    """Make sure that there is a t-SNE.

    Returns:
        The version of scikit-learn.

    Raises:
        OutputError: If scikit-learn is missing.
    """
    try:
        from sklearn import __version__
    except ImportError as error:
        raise OutputError(
            'this picture needs scikit-learn, which is missing; pip install "avseg[draw]".'
        ) from error
    return str(__version__)


def embed_clips(
    segmenter: Segmenter,
    split: AVSBench,
    count: int = 400,
    category_count: int = 10,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Embedded:
    """Embed one second of each clip in which a single category sounds, the middle one.

    Frames of one clip are alike, so more of them would show clips rather than categories.

    Args:
        segmenter: The model and its processor.
        split: The data, with sound at the processor's rate.
        count: Largest number of clips; of more, they are taken in even steps.
        category_count: Largest number of categories, at most `MOST_CATEGORIES`; of more, the most
            frequent ones are taken.
        on_progress: Called with the share of the clips that is done, in [0, 1].

    Returns:
        The embeddings.

    Raises:
        CheckpointError: If the model does not listen, or its family shows no embeddings.
        DatasetError: If there are too few such clips.
    """
    require_listening(segmenter)
    model = segmenter.model
    if not isinstance(model, Embedder):
        raise CheckpointError(
            f"{segmenter.name} is of the family {model.config.model_type}, which shows no "
            "embeddings; take a model of avseg-av2t-sam or avseg-tavis."
        )
    single = _single_sources(split, category_count)
    steps = np.linspace(0, len(single) - 1, min(count, len(single))).round().astype(int)
    chosen = dict(list(single.items())[step] for step in steps)
    found: list[dict[tuple[str, Modality], NDArray[np.float32]]] = []
    for index in chosen:
        clip = split[index]
        inputs = prepare(segmenter, clip.clip, read_waveform(segmenter, split, index))
        sounding = np.flatnonzero(clip.masks.any((1, 2)))
        second = int(sounding[len(sounding) // 2]) if len(sounding) else 0
        found.append(
            {
                (space.title, modality): points[0, second].float().cpu().numpy()
                for space in model.embed(inputs)
                for modality, points in space.points.items()
            }
        )
        on_progress(len(found) / len(chosen))
    return Embedded(
        segmenter.name,
        f"{split.subset}/{split.split}",
        tuple(chosen.values()),
        _as_spaces(found),
    )


def count_neighbours(space: Space, categories: Sequence[str]) -> Neighbours:
    """Say how often the nearest point has the same category.

    Args:
        space: Embeddings of N clips.
        categories: Of each clip.

    Returns:
        How often, and how often by chance.
    """
    each = list(space.points.values())
    cosines = [each[0] @ each[-1].T]  # of a single modality, with itself
    if len(each) > 1:
        cosines.append(cosines[0].T)
    names = np.array(categories)
    same = names[:, None] == names
    others = ~np.eye(len(names), dtype=bool)
    nearest = [np.where(others, cosine, -np.inf).argmax(1) for cosine in cosines]
    share = np.mean([same[np.arange(len(names)), near].mean() for near in nearest])
    return Neighbours(float(share), float(same[others].mean()))


def map_space(space: Space) -> dict[Modality, NDArray[np.float32]]:
    """Lay a space out in two dimensions by t-SNE (van der Maaten, Hinton 2008); always the same.

    Args:
        space: Embeddings of N clips.

    Returns:
        Places by what is embedded, (N, 2) each.

    Raises:
        OutputError: If scikit-learn is missing.
    """
    require_scikit_learn()
    from sklearn.manifold import TSNE

    points = np.concatenate(list(space.points.values()))
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(points)
    parts = np.split(places.astype(np.float32), len(space.points))
    return dict(zip(space.points, parts, strict=True))


def draw_embeddings(embedded: Embedded) -> Figure:
    """Draw each space beside the others: colour says what sounds, the marker what is embedded.

    Args:
        embedded: The embeddings.

    Returns:
        The picture.

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


def _single_sources(split: AVSBench, category_count: int) -> dict[int, str]:
    """Find the clips in which one of the most frequent categories sounds alone, and which."""
    contents = read_contents(split, find_synthavs_split(split)) or []
    single = {n: min(c.sounding) for n, c in enumerate(contents) if len(c.sounding) == 1}
    frequent = dict(Counter(sorted(single.values())).most_common(category_count))
    single = {index: name for index, name in single.items() if name in frequent}
    if len(single) < LEAST_CLIPS:
        raise DatasetError(
            f"{split.folder}: {split.split} has {len(single)} clips in which a single, known "
            f"category sounds, a map needs {LEAST_CLIPS}; take s4, or a larger split."
        )
    return single


def _as_spaces(
    found: Sequence[Mapping[tuple[str, Modality], NDArray[np.float32]]],
) -> tuple[Space, ...]:
    """Put the points of all clips together, centred and of length 1.

    Sounds and pictures lie on two sides of a space that they share (the modality gap,
    arXiv:2203.02053); about their own means they can be seen beside each other.
    """
    spaces: dict[str, dict[Modality, NDArray[np.float32]]] = {}
    for title, modality in found[0]:
        points = torch.from_numpy(np.stack([each[title, modality] for each in found]))
        unit = torch.nn.functional.normalize(points - points.mean(0), dim=-1)
        spaces.setdefault(title, {})[modality] = unit.numpy()
    return tuple(Space(title, points) for title, points in spaces.items())


def _draw_space(
    axes: Axes, space: Space, categories: Sequence[str], colours: Mapping[str, str]
) -> None:
    neighbours = count_neighbours(space, categories)
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
    """Give each category a colour, by name."""
    names = sorted(set(categories))
    colours = colormaps["tab10" if len(names) <= _DISTINCT else "tab20"]
    return {name: to_hex(colours(number)) for number, name in enumerate(names)}


def _handle(label: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label)
