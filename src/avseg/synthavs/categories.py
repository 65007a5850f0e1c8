"""What SynthAVS knows: its categories, and which of them and which art styles are held out."""

#: Every category, in the order of its word index. Each has drawings in several styles and a sound.
CATEGORIES: tuple[str, ...] = (
    "dog", "cat", "lion", "horse", "bird", "rooster", "cow", "sheep", "pig", "duck", "wolf",
    "elephant", "frog", "car", "bus", "motorcycle", "train", "helicopter", "airplane", "ambulance",
    "tractor", "boat", "guitar", "piano", "violin", "trumpet", "saxophone", "drum", "accordion",
    "bell", "telephone", "clock", "gun", "baby", "man", "woman",
)  # fmt: skip

#: Categories that no audio-visual training clip shows: the zero-shot split.
ZERO_SHOT: tuple[str, ...] = (
    "pig", "duck", "wolf", "tractor", "saxophone", "accordion", "telephone", "woman",
)  # fmt: skip

#: Categories of the audio-visual training clips.
SEEN: tuple[str, ...] = tuple(c for c in CATEGORIES if c not in ZERO_SHOT)

#: Art styles of training scenes; the last four are drawn in one ink, and coloured anew each time.
TRAIN_STYLES: tuple[str, ...] = (
    "noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "fxemoji",
    "streamline-emojis", "fluent-emoji-high-contrast", "mdi", "game-icons", "ph",
)  # fmt: skip

#: Art styles of evaluation scenes "in seen styles": those of training that are full drawings.
SEEN_STYLES: tuple[str, ...] = TRAIN_STYLES[:7]

#: Art styles that no training scene shows.
UNSEEN_STYLES: tuple[str, ...] = ("emojione", "openmoji")
