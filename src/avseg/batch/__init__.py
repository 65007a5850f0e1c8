"""Result folders of many videos: overlay video, mask images, and `result.json`.

`segment` (`run.py`) runs the batch in a worker process (`worker.py`) under a supervisor
(`supervisor.py`), so that a crash, a lack of memory or a hang ends one video and not the batch.
`videos.py` segments the videos one after the other. Only the worker process loads torch.
"""

from avseg.batch.records import BatchProgress, SegmentOptions, VideoOutcome
from avseg.batch.run import segment
from avseg.batch.videos import segment_to_folder

__all__ = ["BatchProgress", "SegmentOptions", "VideoOutcome", "segment", "segment_to_folder"]
