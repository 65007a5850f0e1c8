"""Video files in: frames and sound on one clock."""

from avseg.media.clip import probe, read_clip, stream_clips
from avseg.media.segments import read_segments

__all__ = ["probe", "read_clip", "read_segments", "stream_clips"]
