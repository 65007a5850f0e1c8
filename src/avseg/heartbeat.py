"""Signs of progress within one video, by which a supervisor distinguishes slow work from a hang.

Each packet that is read and each layer that is computed calls `beat`. One chunk of a large model
may take many minutes on a slow processor; one packet or one layer takes seconds.
"""

from collections.abc import Callable

_listeners: list[Callable[[], None]] = []


def beat() -> None:
    """Report a sign of progress to the listeners of this process."""
    for listener in _listeners:
        listener()


def add_listener(listener: Callable[[], None]) -> None:
    """Add a function that is called at each sign of progress, up to thousands of times per second.

    Args:
        listener: Function that returns fast.
    """
    _listeners.append(listener)
