"""Reading of video files: frames and audio on one clock."""

from avseg.media.clip import probe, read_clip, stream_clips

__all__ = ["probe", "read_clip", "stream_clips"]
