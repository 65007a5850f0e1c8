"""Errors that avseg raises on purpose; wrong arguments raise ValueError or TypeError instead.

```
AvsegError
├── ClipError                  one video cannot be read, or not completely
│   ├── NotAVideoError         it cannot be opened as a video file
│   ├── NoVideoStreamError     it has no video stream that can be decoded
│   ├── NoAudioStreamError     it has no audio track that can be decoded
│   ├── EmptyVideoError        it has no frames or no bytes
│   ├── VideoTooLargeError     it needs more memory than is allowed
│   ├── TruncatedVideoError    it ends early, or its index is missing
│   └── CorruptVideoError      it decodes to fewer frames or samples than its container announces
├── DeviceError                the requested device is not available
├── OutputError                a result cannot be written
├── CheckpointError            weights are missing, of another model, or changed
├── DatasetError               files of a data set are missing or malformed
├── ReportError                an evaluation report is missing or not comparable
├── PromptError                a text prompt is missing, or the model cannot use it
├── TrainingError              a training recipe or its inputs are invalid
├── OutOfMemoryError           the memory does not suffice to segment a video
├── StallError                 the segmentation of a video makes no progress
└── WorkerDiedError            the process that segments the videos of a batch crashed
```

Catch `ClipError` to skip single videos of a batch, and `AvsegError` for everything above.
"""


class AvsegError(Exception):
    """Base class of all errors of this package."""


class ClipError(AvsegError):
    """One video cannot be read, or not completely.

    Raised by the functions of `avseg.media` and by whatever reads videos through them. The
    subclasses distinguish the causes; `problem` includes the next step.

    Args:
        origin: Path of the video as the caller gave it. The message begins with it, because a batch
            may have thousands of videos.
        problem: What is wrong, with the measured values, and what to do next.
    """

    def __init__(self, origin: str, problem: str) -> None:
        # Exception keeps both arguments, so that the error survives pickling between processes.
        super().__init__(origin, problem)
        self.origin = origin
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}"


class NotAVideoError(ClipError):
    """The path cannot be opened as a video file.

    Raised when a file is opened: the path does not exist, is a folder, or is a file of another kind
    (text, raw stream without timestamps). Pass the path of a video file.
    """


class NoVideoStreamError(ClipError):
    """The file has no video stream that can be decoded.

    Raised when a file is opened. Cover art of an audio file does not count as a video stream. Pass
    a video, or re-encode it with a codec that this build of FFmpeg decodes.
    """


class NoAudioStreamError(ClipError):
    """The file has no audio track that can be decoded, an empty one, or not the chosen one.

    Raised when a clip is read. Pass `silent_ok=True` (`--silent-ok`) to treat the video as silent,
    or choose an audio track that the message lists.
    """


class EmptyVideoError(ClipError):
    """The file has no bytes, or its video stream has no frames.

    Raised when a file is opened or read. Copy or download the file again.
    """


class VideoTooLargeError(ClipError):
    """Reading the file needs more memory than is allowed for one video.

    Raised before a frame or an audio packet that is too large is read. Scale the video down, or
    re-encode it as described in the message.
    """


class TruncatedVideoError(ClipError):
    """The file ends before the time that its container announces, or its index is missing.

    Raised when a file is opened (no index) or after its last readable frame. Copy or download the
    file again, or re-encode it to keep the readable beginning.
    """


class CorruptVideoError(ClipError):
    """The file is complete, but decodes to fewer frames or samples than its container announces.

    Raised after the last readable frame. Copy or download the file again, or re-encode it to keep
    the readable frames.
    """


class DeviceError(AvsegError):
    """The requested device is not available, or this PyTorch was built without support for it.

    Raised when a model is loaded. Choose another device, such as "cpu".
    """


class OutputError(AvsegError):
    """A result cannot be written, or would replace files that avseg did not write.

    Raised before or while writing; the previous contents stay. Choose another output path, or free
    disk space.
    """


class CheckpointError(AvsegError):
    """Weights are missing, belong to another model, or differ from the published ones.

    Raised when a model is loaded, imported or exported. Download or import the files again.
    """


class DatasetError(AvsegError):
    """Files of a data set are missing, malformed, or do not match its layout.

    Raised when a data set is opened or one of its clips is read. `avseg data check` lists all
    problems of a data set.
    """


class ReportError(AvsegError):
    """An evaluation report is missing, unreadable, or not comparable with another one.

    Raised when reports are read or compared. Evaluate again with the same data and version.
    """


class PromptError(AvsegError):
    """A text prompt is missing, or the model cannot use it.

    Raised when texts or a vocabulary are set on a segmenter. Use a model that accepts texts, or
    change the text as described in the message.
    """


class TrainingError(AvsegError):
    """A training recipe or one of its inputs is invalid.

    Raised before training starts or when it resumes. Change the option that the message names.
    """


class OutOfMemoryError(AvsegError):
    """The memory of the machine or of the GPU does not suffice to segment a video.

    Outcome of one video of a batch. Use low memory, a smaller image size or a smaller model.
    """


class StallError(AvsegError):
    """The segmentation of a video made no progress for a long time, so its process was ended.

    Outcome of one video of a batch in a worker process. Re-encode the video, or raise the limit.
    """


class WorkerDiedError(AvsegError):
    """The worker process of a batch crashed in a native library, or was killed.

    Outcome of the video that the process was segmenting; raised if it died while it loaded the
    model. The message names the signal or the exit code, and the probable cause. A process that is
    killed (SIGKILL) usually needed more memory than the machine has.
    """
