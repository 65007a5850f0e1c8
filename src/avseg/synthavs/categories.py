"""Categories and art styles of SynthAVS, and which of them training does not use."""

#: All categories, in the order of their class numbers. Each has drawings in several styles and a
#: sound generator.
CATEGORIES: tuple[str, ...] = (
    "dog", "cat", "lion", "horse", "bird", "rooster", "cow", "sheep", "pig", "duck", "wolf",
    "elephant", "frog", "car", "bus", "motorcycle", "train", "helicopter", "airplane", "ambulance",
    "tractor", "boat", "guitar", "piano", "violin", "trumpet", "saxophone", "drum", "accordion",
    "bell", "telephone", "clock", "gun", "baby", "man", "woman",
)  # fmt: skip

#: Categories of the zero-shot split, which no audio-visual training clip has.
ZERO_SHOT: tuple[str, ...] = (
    "pig", "duck", "wolf", "tractor", "saxophone", "accordion", "telephone", "woman",
)  # fmt: skip

#: Categories of the audio-visual training clips.
SEEN: tuple[str, ...] = tuple(c for c in CATEGORIES if c not in ZERO_SHOT)

#: Art styles of training scenes. The last four are one-colour drawings, which get random colours.
TRAIN_STYLES: tuple[str, ...] = (
    "noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "fxemoji",
    "streamline-emojis", "fluent-emoji-high-contrast", "mdi", "game-icons", "ph",
)  # fmt: skip

#: Art styles of evaluation scenes in seen styles: the training styles that are full-colour
#: drawings.
SEEN_STYLES: tuple[str, ...] = TRAIN_STYLES[:7]

#: Art styles of the training scenes of version 3: those of version 2, three-dimensional drawings,
#: and further one-colour drawings.
FILM_TRAIN_STYLES: tuple[str, ...] = (*TRAIN_STYLES, "fluent-emoji-3d", "fa6-solid")

#: Art styles of the evaluation scenes of version 3 in seen styles.
FILM_SEEN_STYLES: tuple[str, ...] = (*SEEN_STYLES, "fluent-emoji-3d")

#: Art styles that no training scene of any version has.
UNSEEN_STYLES: tuple[str, ...] = ("emojione", "openmoji")
