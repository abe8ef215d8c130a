"""Finished pieces of a video put one behind the other, and the sound of its source beside them, without encoding."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from mmext.common.files import replacing
from mmext.segmentation.video.media import open_media


class Piece(NamedTuple):
    """A part of a video.

    Attributes:
        path: A file of `VideoWriter`, whose first frame has tick 0.
        seconds: When its first frame is shown in the whole video.
    """

    path: Path
    seconds: Fraction


class Sound(NamedTuple):
    """The sound of a source.

    Attributes:
        path: The source.
        start: Its time in seconds at which the video begins.
    """

    path: Path
    start: Fraction


def join_pieces(pieces: Sequence[Piece], path: Path, sound: Sound | None = None) -> str:
    """Write a video file, which appears when it is whole.

    Args:
        pieces: Of one size and codec, in order.
        path: The video.
        sound: Copied packet by packet, from the video's first frame to its last.

    Returns:
        Why there is no sound although it was asked for; '' if there is.
    """
    with replacing(path) as unfinished, ExitStack() as stack:
        target = stack.enter_context(open_media(unfinished, 'w', format='mp4', options={'movflags': 'faststart'}))
        with open_media(pieces[0].path) as first:
            video = target.add_stream_from_template(first.streams.video[0])
            time_base = first.streams.video[0].time_base
            end = _end_seconds(pieces[-1])
        video.time_base = time_base
        why_silent = ''
        flows = [_video_packets(pieces, video, time_base)]
        if sound:
            try:
                source = stack.enter_context(open_media(sound.path))
                template = source.streams.audio[0]
                if template.codec_context.name not in target.supported_codecs:
                    raise ValueError(f'MP4 cannot hold {template.codec_context.name}')
                audio = target.add_stream_from_template(template)
                flows.append(_audio_packets(source, template, audio, sound.start, end))
            except (av.error.FFmpegError, ValueError, IndexError) as error:
                why_silent = str(error)
        # In the order of time, or the file would be built up in memory.
        for _, packet in heapq.merge(*flows, key=lambda entry: entry[0]):
            target.mux_one(packet)
    return why_silent


def _video_packets(pieces: Sequence[Piece], stream: Any, time_base: Fraction) -> Iterator[tuple[Fraction, Any]]:
    for piece in pieces:
        offset = piece.seconds / time_base
        if offset.denominator != 1:
            raise ValueError(f'{piece.path}: begins between two ticks of {time_base} s')
        with open_media(piece.path) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is None:  # the end
                    continue
                packet.pts, packet.dts = packet.pts + int(offset), packet.dts + int(offset)
                packet.stream = stream
                yield packet.dts * time_base, packet


def _audio_packets(
    source: Any, template: Any, stream: Any, start: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    time_base = template.time_base
    offset = round(start / time_base)
    try:
        for packet in source.demux(template):
            if packet.dts is None or packet.dts < offset:
                continue
            packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
            seconds = packet.dts * time_base
            if seconds >= end:
                return
            packet.stream = stream
            yield seconds, packet
    except av.error.FFmpegError:  # of a file that is cut off; the pictures have told so
        return


def _end_seconds(piece: Piece) -> Fraction:
    with open_media(piece.path) as container:
        stream = container.streams.video[0]
        return piece.seconds + stream.duration * stream.time_base
