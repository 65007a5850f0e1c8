"""Choice of a model by the kind of video, the kind of masks, the licence and the memory."""

from dataclasses import dataclass

from avseg.checkpoints.catalog import Listing, list_models
from avseg.checkpoints.model_folder import Masks, restrictions

#: Memory for images, activations and decoded frames beside the weights, in bytes.
_WORKING_BYTES = 1_500_000_000


@dataclass(frozen=True)
class Wish:
    """What a user needs from a model.

    Attributes:
        is_filmed: Whether the videos are filmed, in contrast to SynthAVS's drawings.
        masks: Kind of masks.
        is_commercial: Whether the results are for commercial use, so that the licence must be
            stated and allow it.
        memory_bytes: Memory for the model; None for any.
    """

    is_filmed: bool
    masks: Masks
    is_commercial: bool = False
    memory_bytes: int | None = None


def estimate_memory(listing: Listing) -> int | None:
    """Estimate the memory that a model needs from the size of its files.

    Args:
        listing: The model.

    Returns:
        Bytes: the weights as float32, which a file may store as float16, and the working memory;
        None if the size is not known.
    """
    if not listing.size_is_known:
        return None
    factor = 2 if listing.state == "packaged" else 1  # the package stores float16
    return factor * listing.known_bytes + _WORKING_BYTES


def choose_models(wish: Wish) -> list[Listing]:
    """Find the models that fulfil a wish, the one with the fewest steps first.

    A model whose size is not known counts as one that fits into the memory.

    Args:
        wish: What the user needs.

    Returns:
        The models in the order of `list_models`; empty if none fulfils the wish.
    """
    return [listing for listing in list_models() if _fulfils(listing, wish)]


def _fulfils(listing: Listing, wish: Wish) -> bool:
    if listing.masks != wish.masks or listing.training is None:
        return False
    if listing.training.is_filmed != wish.is_filmed:
        return False
    if wish.is_commercial and (listing.licence is None or restrictions([listing.licence])):
        return False
    memory = estimate_memory(listing)
    return wish.memory_bytes is None or memory is None or memory <= wish.memory_bytes
