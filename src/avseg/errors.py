"""Everything that avseg raises on purpose, apart from ValueError and TypeError for wrong arguments.

```
AvsegError
├── ClipError                  something is wrong with one video
│   ├── NotAVideoError         it cannot be opened as a media file
│   ├── NoVideoStreamError     it has no picture
│   ├── NoAudioStreamError     it has no sound track
│   ├── EmptyVideoError        it has zero frames or zero length
│   ├── TruncatedVideoError    it ends early, or has lost its index
│   └── CorruptVideoError      it decodes to far fewer frames than it promises
├── DeviceError                there is no such device here
├── OutputError                results cannot be written
├── CheckpointError            weights are missing, of another model, or changed
├── DatasetError               data on disk is not as its layout says
├── ReportError                a report is missing, or cannot be compared with another
├── PromptError                a text to look for is missing, or the model cannot take it
└── TrainingError              a training recipe is wrong
```
"""


class AvsegError(Exception):
    """Base of all errors of this package."""


class ClipError(AvsegError):
    """Something is wrong with one video.

    Args:
        source: The video, as the caller named it; the text of the error begins with it, since in a
            batch there are thousands.
        problem: What is wrong, with its figures, and what to do next.
    """

    def __init__(self, source: str, problem: str) -> None:
        # Both go to Exception so that the error survives pickling between processes.
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


class NotAVideoError(ClipError):
    """The path cannot be opened as a media file."""


class NoVideoStreamError(ClipError):
    """The file has no picture that can be decoded; cover art does not count."""


class NoAudioStreamError(ClipError):
    """The file has no sound track that can be decoded."""


class EmptyVideoError(ClipError):
    """The video has zero frames or zero length."""


class TruncatedVideoError(ClipError):
    """The file ends before the time its container promises, or has lost its index."""


class CorruptVideoError(ClipError):
    """The file is all there, but decodes to less than its container promises."""


class DeviceError(AvsegError):
    """There is no such device here, or this PyTorch was built without it."""


class OutputError(AvsegError):
    """Results cannot be written."""


class CheckpointError(AvsegError):
    """Weights are missing, belong to another model, or are not the published ones."""


class DatasetError(AvsegError):
    """Data on disk is not as its layout says."""


class ReportError(AvsegError):
    """A report is missing, or cannot be compared with another."""


class PromptError(AvsegError):
    """A text to look for is missing, or the model cannot take it."""


class TrainingError(AvsegError):
    """A training recipe is wrong."""
