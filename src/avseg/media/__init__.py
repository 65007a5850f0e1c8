"""Video files in: frames and sound on one clock."""

from avseg.media.clip import probe, read_clip, stream_clips
from avseg.media.segments import cut_segments, read_seconds, read_segments

__all__ = [
    "cut_segments",
    "probe",
    "read_clip",
    "read_seconds",
    "read_segments",
    "stream_clips",
]
