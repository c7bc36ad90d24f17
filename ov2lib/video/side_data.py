"""What FFmpeg attaches to a decoded picture: vectors, quantisers, the display matrix."""

from contextlib import suppress

import av
from av.sidedata.sidedata import SideDataContainer


def side_data(picture: av.VideoFrame) -> SideDataContainer:
    """The side data of a picture by FFmpeg's name of its kind; all that stands before the first kind unknown to PyAV.

    FFmpeg 8 attaches kinds that PyAV 18 does not name (Exif, view numbers of stereo video), and its container then raises
    midway. Not `picture.side_data`: it makes the picture part of a reference cycle, and its pixels stay until a garbage
    collection.
    """
    data = SideDataContainer.__new__(SideDataContainer, picture)  # type: ignore[call-arg]
    with suppress(ValueError):
        data.__init__(picture)
    return data
