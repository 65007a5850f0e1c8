"""From the name of a sound to a caption of its object, for detectors of objects in pictures."""

import re

_ARTICLES = {"a", "an", "the", "some"}

#: Nouns that end like the verb of a sound.
_NOUNS = {
    "building",
    "ceiling",
    "clothing",
    "king",
    "lightning",
    "ring",
    "spring",
    "string",
    "wing",
}


def object_caption(name: str) -> str:
    """Convert the name of a sound to a caption of its object.

    Remarks in parentheses and articles are removed. Of several descriptions, separated by commas,
    the first that names who makes the sound is kept ("male speech, man speaking": "man"), else the
    first. The verb of the sound and all after it are removed ("a dog barking in a park": "dog"),
    and so is a leading "playing" ("playing violin": "violin").

    Args:
        name: Name in a vocabulary.

    Returns:
        The caption in lower case; the name itself if nothing would remain of it.
    """
    plain = re.sub(r"\([^)]*\)", " ", name.lower())
    parts = [part for part in map(_words, plain.split(",")) if part]
    if not parts:
        return name.strip().lower()
    named = [part[:verb] for part in parts if (verb := _verb(part))]
    words = named[0] if named else parts[0]
    return " ".join(words)


def _words(part: str) -> list[str]:
    """Split a description, without articles at its begin and without a leading "playing"."""
    words = part.split()
    while len(words) > 1 and (words[0] in _ARTICLES or words[0] == "playing"):
        words = words[1:]
    return words


def _verb(words: list[str]) -> int:
    """Return the index of the verb of a sound, 0 if there is none after the first word."""
    return next(
        (i for i, word in enumerate(words) if i and word.endswith("ing") and word not in _NOUNS), 0
    )
