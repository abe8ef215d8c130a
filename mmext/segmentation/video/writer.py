"""Pictures into an H.264 file that every player shows."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from mmext.segmentation.video.geometry import even_size, pad_to_even
from mmext.segmentation.video.media import open_media

# The network needs the processor: on street scenes slower presets gain hardly anything. The deblocking filter, which
# this one leaves out, costs nothing. A quality of 18 can hardly be told from the picture that went in.
OPTIONS = {'preset': 'ultrafast', 'crf': '18', 'bf': '0', 'x264-params': 'no-deblock=0'}
# BT.709 in libavutil's numbers, which matrix, primaries and transfer share.
_BT709 = 1


class VideoWriter:
    """Writes one MP4 file with H.264, 4:2:0, BT.709.

    No frame refers to a later one, and one thread encodes: the file depends on nothing but its frames, and files can be
    put one behind the other without encoding them again.

    Args:
        path: The file; its format does not depend on the suffix.
        size_hw: Of the pictures; odd sides get their last row or column twice.
        rate: Frames a second, nominal.
        time_base: Seconds a tick.
    """

    def __init__(self, path: str | Path, size_hw: tuple[int, int], rate: Fraction, time_base: Fraction) -> None:
        self._size_hw = size_hw
        self._container = open_media(path, 'w', format='mp4')
        self._stream = self._container.add_stream('libx264', rate=rate, options=OPTIONS)
        self._stream.height, self._stream.width = even_size(size_hw)
        self._stream.pix_fmt = 'yuv420p'
        codec = self._stream.codec_context
        codec.time_base, codec.thread_count = time_base, 1
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = int(ColorRange.MPEG)
        self._time_base = time_base
        self._converter = VideoReformatter()

    def write(self, picture: np.ndarray, tick: int, duration: int) -> None:
        """Append a picture.

        Args:
            picture: (H, W, 3) BGR, uint8.
            tick: When it is shown; later than the picture before.
            duration: Ticks.

        Raises:
            ValueError: a picture of another size.
        """
        if picture.shape[:2] != self._size_hw:
            raise ValueError(f'a picture of {picture.shape[:2]} in a video of {self._size_hw}')
        # Shares the memory, which is not changed before the conversion.
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pad_to_even(picture)), format='bgr24')
        frame = self._converter.reformat(
            frame, format='yuv420p', dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base, frame.duration = tick, self._time_base, duration
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file, which can be played then."""
        try:
            self._container.mux(self._stream.encode())
        finally:
            self._container.close()
