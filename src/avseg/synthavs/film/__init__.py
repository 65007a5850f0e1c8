"""Version 3 of SynthAVS: scenes that look and sound closer to film, at any frame rate and size.

A scene is a description over continuous time: shots with a backdrop, a camera, and drawings on
their paths; a look of the camera; sounds with exact onsets and offsets, a room, and noise.
"""
