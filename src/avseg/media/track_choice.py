"""Choice of the audio tracks of a video.

A file may have several audio tracks: languages, a commentary, or, from screen recorders, the
computer and the microphone. The rules of `AudioTrackOption`:

- A number takes that track, counted from 1 as MediaInfo and mpv do (FFmpeg's `0:a:0` is track 1).
- "mix" takes all tracks that can be decoded; `media.mix` adds them.
- "auto" takes the default track, which players play: FFmpeg's choice by default flag, channels and
  bit rate. If that track is digitally silent while the picture is shown, does not overlap it, or
  cannot be decoded, the first other track that is not is taken instead, with a warning.

Only "auto" decodes anything, and only if there is a choice: from the start of the default track to
its first sample that is not silent, so a second of audio for most files. Only a track that is
silent is decoded to its end. Memory does not grow with the length of the track.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from avseg.errors import NoAudioStreamError
from avseg.media.audio import AudioTrack
from avseg.media.container import (
    PathLike,
    choose_video_stream,
    damage_as_clip_error,
    open_media,
)
from avseg.media.duration import video_duration_s
from avseg.types import AudioSelection, AudioTrackInfo, AudioTrackOption

#: Largest number of tracks that an error message lists.
MAX_LISTED = 12

#: Sample rate in Hz at which a track is searched for sound. Not the stored one, which may be
#: gigahertz in a damaged header.
_SCAN_RATE = 48000


def choose_audio(path: PathLike, audio_track: AudioTrackOption = "auto") -> AudioSelection:
    """Choose which audio tracks of a video to use, by the rules of this module.

    A file that cannot be read raises a `ClipError`, as in `probe`.

    Args:
        path: Path of the video file.
        audio_track: Number of an audio track from 1, "mix" or "auto".

    Returns:
        The selection; it has no tracks if the file has none that can be decoded.

    Raises:
        ValueError: If `audio_track` is none of these.
    """
    check_option(audio_track)
    origin = os.fspath(path)
    with damage_as_clip_error(origin), open_media(path) as container:
        return select_audio(container, choose_video_stream(container, origin), origin, audio_track)


def check_option(audio_track: AudioTrackOption) -> None:
    """Validate the value of an option for the audio track.

    Args:
        audio_track: The value.

    Raises:
        ValueError: If it is no number from 1, "mix" or "auto".
    """
    if isinstance(audio_track, int) and not isinstance(audio_track, bool):
        valid = audio_track >= 1
    else:
        valid = audio_track in ("auto", "mix")
    if not valid:
        raise ValueError(
            f"audio_track is {audio_track!r}; it must be the number of an audio track, counted "
            'from 1, or "auto" or "mix".'
        )


def list_audio_tracks(container: InputContainer) -> tuple[AudioTrackInfo, ...]:
    """Describe the audio tracks of an open file.

    Args:
        container: The open file.

    Returns:
        One description for each track, in the order of their numbers.
    """
    return tuple(
        _describe(stream, number) for number, stream in enumerate(container.streams.audio, start=1)
    )


def select_audio(
    container: InputContainer, video: VideoStream, origin: str, audio_track: AudioTrackOption
) -> AudioSelection:
    """Choose the audio tracks of an open file; the position in it does not change.

    Args:
        container: The open file.
        video: Its chosen video stream.
        origin: Path of the file; it may be opened again.
        audio_track: Number of an audio track from 1, "mix" or "auto".

    Returns:
        The selection; it has no tracks if the file has none that can be decoded.

    Raises:
        NoAudioStreamError: If the file has audio tracks, but not that number, or no decoder for it.
    """
    tracks = list_audio_tracks(container)
    usable = [track.number for track in tracks if track.codec is not None]
    undecodable = tuple(
        f"audio track {track.number} cannot be decoded: FFmpeg has no decoder for it."
        for track in tracks
        if track.codec is None
    )
    if isinstance(audio_track, int) and tracks:
        _check_number(audio_track, tracks, origin)
        return AudioSelection(audio_track, (audio_track,), "chosen by its number")
    if not usable:
        why = "no audio track can be decoded" if tracks else "the file has no audio track"
        return AudioSelection(audio_track, (), why, undecodable)
    if audio_track == "mix":
        return AudioSelection("mix", tuple(usable), "all audio tracks are mixed", undecodable)
    default = _default_number(container, video)
    if usable == [default]:
        why = "the only audio track" + " that can be decoded" * (len(tracks) > 1)
        return AudioSelection("auto", (default,), why)
    return _select_automatically(origin, usable, default)


def _default_number(container: InputContainer, video: VideoStream) -> int:
    """Return the number of the track that a player plays, whether or not it can be decoded."""
    best = container.streams.best("audio", video)
    indices = [stream.index for stream in container.streams.audio]
    return 1 + (0 if best is None else indices.index(best.index))


def _select_automatically(origin: str, usable: list[int], default: int) -> AudioSelection:
    """Return the default track if it is not silent, else the first other one that is not."""
    order = [default, *(number for number in usable if number != default)]
    reasons: dict[int, str] = {}
    for number in order:
        reason = _why_not(origin, number) if number in usable else "has no decoder in FFmpeg"
        if reason is None:
            break
        reasons[number] = reason
    else:
        # No track sounds, so the choice makes no difference to the masks.
        number = next(number for number in order if number in usable)
    if not reasons:
        return AudioSelection("auto", (default,), "the default track")
    if number == default:
        return AudioSelection(
            "auto",
            (default,),
            f"the default track; it {reasons[default]}, and no other track sounds",
        )
    because = f"the default track, {default}, {reasons[default]}"
    warning = (
        f"audio track {number} is used: {because}. Choose another one by its number: audio_track "
        "(--audio-track)."
    )
    return AudioSelection("auto", (number,), because, (warning,))


def _why_not(origin: str, number: int) -> str | None:
    """Return why a track cannot sound while the picture is shown; None if it does."""
    with open_media(origin) as container:
        video = choose_video_stream(container, origin)
        start_s = float((video.start_time or 0) * (video.time_base or 0))
        end_s = start_s + video_duration_s(container, video, start_s)
    with open_media(origin) as container:  # from the start again
        stream = container.streams.audio[number - 1]
        track = AudioTrack(container, stream, _SCAN_RATE, origin)
        if not track.is_silent(round(start_s * _SCAN_RATE), round(end_s * _SCAN_RATE)):
            return None
        if track.range_s() is None:
            return "has no samples that can be decoded"
        return "is digitally silent" if track.overlaps else "does not overlap the picture"


def _check_number(number: int, tracks: Sequence[AudioTrackInfo], origin: str) -> None:
    """Validate that there is a track of a number, and that it can be decoded."""
    listed = "; ".join(format_track(track) for track in tracks[:MAX_LISTED])
    listed += "; ..." * (len(tracks) > MAX_LISTED)
    if number > len(tracks):
        raise NoAudioStreamError(
            origin,
            f"has no audio track {number}; choose one of its {len(tracks)}, counted from 1: "
            f"{listed}.",
        )
    if tracks[number - 1].codec is None:
        raise NoAudioStreamError(
            origin,
            f"FFmpeg has no decoder for audio track {number}; choose another one: {listed}.",
        )


def format_track(track: AudioTrackInfo) -> str:
    """Describe an audio track in a few words.

    Args:
        track: The track.

    Returns:
        Text such as "2 (aac, stereo, deu, 'Commentary')".
    """
    facts = [track.codec or "no decoder", track.layout, track.language]
    title = [repr(track.title)] if track.title else []
    return f"{track.number} ({', '.join([fact for fact in facts if fact] + title)})"


def _describe(stream: AudioStream, number: int) -> AudioTrackInfo:
    tags = {name.lower(): value.strip() for name, value in stream.metadata.items()}
    # MP4 has no title: recorders write the name of the track, or a handler of that name. Most
    # writers give the handler a name of their own, which describes no track.
    handler = tags.get("handler_name", "")
    titles = [tags.get("title"), tags.get("name"), "" if "handler" in handler.lower() else handler]
    language = tags.get("language", "und")
    # Streams that this build of FFmpeg cannot decode have no codec context.
    decoder = stream.codec_context
    return AudioTrackInfo(
        number=number,
        codec=None if decoder is None else decoder.name,
        sample_rate=None if decoder is None else decoder.sample_rate,
        channels=None if decoder is None else decoder.channels,
        layout=None if decoder is None else decoder.layout.name,
        language=None if language == "und" else language,
        title=next((title for title in titles if title), None),
        default=bool(stream.disposition & Disposition.default),
    )
