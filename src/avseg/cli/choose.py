"""Questions of `avseg models --choose`, and the recommended model."""

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

import avseg
from avseg.checkpoints import Listing
from avseg.checkpoints.choosing import Wish, choose_models, estimate_memory
from avseg.checkpoints.known_models import describe_size
from avseg.checkpoints.model_folder import Masks
from avseg.checkpoints.resources import available_memory
from avseg.cli.terminal import wrap

#: Answers to the question for the masks.
_MASKS: dict[str, Masks] = {"all": "one", "names": "by name", "text": "by text"}


def choose() -> int:
    """Print the questions, and recommend the model that fulfils the answers, with its command.

    Returns:
        0 if there is such a model, else 1.

    Raises:
        AvsegError: If the input ends before all questions are answered.
    """
    try:
        wish = _ask(Console())
    except EOFError:
        raise avseg.AvsegError(
            "--choose: the input ended before all three questions were answered; answer them in a "
            "terminal, or use the table of `avseg models`."
        ) from None
    console, models = Console(), choose_models(wish)
    console.print()
    for line in _recommendation(models[0], console.width) if models else _nearest(wish):
        console.print(line, soft_wrap=True, highlight=False)
    return int(not models)


def _ask(console: Console) -> Wish:
    console.print("1. Are your videos filmed, or SynthAVS's drawings?")
    world = Prompt.ask("  ", choices=["film", "drawings"], default="film", console=console)
    console.print(
        "2. One mask of all sounding objects, a mask with a name for each, or the objects that a "
        "text describes?"
    )
    masks = Prompt.ask("  ", choices=[*_MASKS], default="names", console=console)
    memory = available_memory()
    console.print(f"3. Is it for commercial use? (The memory is known: {describe_size(memory)}.)")
    commercial = Confirm.ask("  ", default=False, console=console)
    return Wish(world == "film", _MASKS[masks], commercial, memory)


def _recommendation(best: Listing, width: int) -> Iterator[Text]:
    """Yield the name, the facts and the command of the recommended model."""
    yield Text(best.name, "bold")
    yield Text(wrap(best.details, width))
    size = describe_size(
        best.known_bytes if best.size_is_known else None, is_computed=best.size_is_computed
    )
    memory = estimate_memory(best)
    need = "memory not known" if memory is None else f"about {describe_size(memory)} of memory"
    licence = best.licence or "not stated: ask its authors"
    yield Text(wrap(f"Download: {size}. Needs: {need}. Licence: {licence}.", width))
    if not best.is_seen:
        yield Text("Its weights were not seen where they are offered.", "yellow")
    if best.state == "by hand":
        yield Text(wrap(best.notice or "", width))
    text = ' --text "the dog on the left"' if best.masks == "by text" else ""
    yield Text(f"avseg segment VIDEO -o out --model {best.name}{text}", "bold")


def _nearest(wish: Wish) -> Iterator[Text]:
    """Yield which models fulfil the wish without one of its parts."""
    yield Text("No model fulfils all of this.", "yellow")
    relaxed = {
        "for non-commercial use": replace(wish, is_commercial=False),
        "with more memory": replace(wish, memory_bytes=None),
        **{f"with masks: {masks}": replace(wish, masks=masks) for masks in _MASKS.values()},
    }
    for condition, other in relaxed.items():
        names = [listing.name for listing in choose_models(other)]
        if names:
            yield Text(f"  {condition}: {', '.join(names)}")
