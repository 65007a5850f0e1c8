"""Video files: metadata, and clips with frames and audio on one clock."""

from avseg.media.clip import probe, read_clip, stream_clips
from avseg.media.track_choice import choose_audio

__all__ = ["choose_audio", "probe", "read_clip", "stream_clips"]
