"""Open a video file safely: only formats that hold their own data, the right one of its streams, nothing of absurd size.

Errors are told as `VideoError`: file, cause, remedy.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import av

from ..errors import VideoError
from .damage import AGAIN, Damage

MAX_PIXELS = 1 << 26  # assumed: 67 megapixels, two 8K frames; a file that declares more is refused before it is decoded
# measured with FFmpeg 8: the decoders that export quantisers and vectors, and those that export vectors
EXPORTS_QUANTISERS = "h264 mpeg4 mpeg1video mpeg2video h263 flv1 msmpeg4v2 msmpeg4v3 wmv1 wmv2 rv10 rv20".split()
EXPORTS_VECTORS = [*EXPORTS_QUANTISERS, "snow", "h261"]
LIMITS = {"max_pixels": str(MAX_PIXELS)}  # to be given to every decoder
TAGS = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # PyAV 19 does so by itself
ERRORS = (av.error.FFmpegError, OverflowError, MemoryError, UnicodeDecodeError)  # what PyAV raises on hostile files

# FFmpeg's formats that hold video, all of it in the one file; not playlists (hls, dash, concat, imf, sdp), image sequences
# (image2), formats that open their neighbours (mlv, vobsub), devices, or text drawn as video (tty)
FORMATS = (
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi asf asf_o flv live_flv kux mpegts mpegtsraw mpeg pva ogg mxf mxf_opatom gxf lxf "
    "nut dv rm ivr nsv nuv wtv ty swf av1 obu ivf h261 h263 h264 hevc vvc evc m4v mpegvideo cavsvideo avs2 avs3 dirac dnxhd "
    "vc1 vc1test mjpeg mjpeg_2000 mpjpeg apv ingenient ipu rawvideo v210 v210x bitpacked yuv4mpegpipe "
    "gif gif_pipe apng webp_pipe png_pipe jpeg_pipe jpegxl_anim "
    "4xm anm argo_brp avs bethsoftvid bfi bink bmv c93 cdg cdxl cine dcstr derf dfa dhav dsicin dxa ea ea_cdata film_cpk "
    "filmstrip flic frm gdv hnm idcin iff ifv ipmovie iv8 jv lmlm4 mgsts mm mods moflex msnwctcp mtv mv mvi mxg paf pdv pmp "
    "psxstr r3d rl2 roq rpl sdr2 ser sga siff simbiosis_imx smjpeg smk smush svs thp tiertexseq tmv usm viv vivo vividas vmd "
    "wc3movie wsvqa xmv yop 3dostr"
).split()
STILLS = (".png", ".jpg", ".jpeg", ".jp2", ".j2k", ".bmp", ".tif", ".tiff", ".webp", ".tga", ".ppm", ".pgm", ".dds")


@contextmanager
def open_video(path: str | os.PathLike, number: int | None = None):
    """Open `path` for reading; yields (container, video stream) and closes the container.

    The stream decodes on one thread: FFmpeg's frame threading corrupts exported motion vectors and quantisers.

    Args:
        number: of the stream among all streams of the file; None takes the one that FFmpeg thinks best.

    Raises:
        VideoError: missing, not a regular file, unreadable, empty, not a video, of a format that refers to other files,
            without (that) video stream, of an unknown codec or of an absurd size.
    """
    # 1. Open, without following any reference to other files
    _check_file(path)
    name = "file:" + os.fsdecode(path)  # else FFmpeg takes what stands before a colon in the name for a protocol
    options = LIMITS | {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        container = av.open(name, options=options, **TAGS)
    except (*ERRORS, ValueError) as error:
        raise _refusal(path, error) from error
    # 2. Choose the stream
    with container:
        yield container, _video_stream(path, container, number)


def _check_file(path: str | os.PathLike) -> None:
    if not os.path.exists(path):
        if "://" in os.fsdecode(path):
            raise VideoError(path, "is an address, not a file", "download it first and name the file")
        raise VideoError(path, "no such file", "check the path")
    if not os.path.isfile(path):
        raise VideoError(path, "not a regular file", "name a video file")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "no permission to read it", "change the file's permissions")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty", "download or copy it again")


def _refusal(path: str | os.PathLike, error: Exception) -> VideoError:
    """Why FFmpeg would not open the file."""
    if not isinstance(error, av.error.ArgumentError):  # which is what a format outside the list gives
        return VideoError(path, f"cannot be read as video ({getattr(error, 'strerror', None) or error})", AGAIN)
    if os.fsdecode(path).lower().endswith(STILLS):
        return still_image(path)
    cause = "cannot be read as video (a playlist or another format that holds no video of its own)"
    return VideoError(path, cause, "name the video file itself")


def still_image(path: str | os.PathLike) -> VideoError:
    """The refusal of one."""
    return VideoError(path, "is a still image, not a video", "use tokenize_image")


def _video_stream(path, container, number: int | None):
    # 1. Which stream
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(path, "there is no video stream in it", "name a file that holds video")
    if number is None:
        best = container.streams.best("video")
        stream = next((s for s in streams if best and s.index == best.index), streams[0])
    else:
        stream = next((s for s in streams if s.index == number), None)
    if stream is None:
        raise VideoError(path, f"stream {number} is no video", f"choose among {', '.join(str(s.index) for s in streams)}")
    # 2. Whether it can be decoded
    context = stream.codec_context
    if context is None:
        raise VideoError(path, "its video codec is unknown to this FFmpeg", "re-encode it, for example to H.264")
    if container.format.name == "webp_pipe" and not context.width:
        raise VideoError(path, "is an animated WebP, which FFmpeg does not decode", "convert it to GIF or MP4 first")
    if context.width * context.height > MAX_PIXELS:
        cause = f"declares {context.width}x{context.height} frames, over the limit of {MAX_PIXELS} pixels"
        raise VideoError(path, cause, "scale it down first")
    stream.thread_type = "NONE"
    context.thread_count = 1
    return stream


def coded_packets(container, stream, damage: Damage | None = None) -> Iterator[av.Packet]:
    """The packets of a stream that hold data, in decode order. Where reading fails, it ends and `damage` is notified."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (*ERRORS, ValueError, IndexError) as error:  # IndexError: PyAV does not know streams that begin later
            if damage:
                damage.of_file(f"cannot be read to its end ({getattr(error, 'strerror', None) or error})", AGAIN)
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def decode_packet(context: av.VideoCodecContext, packet: av.Packet | None) -> tuple[list[av.VideoFrame], str]:
    """(the pictures that the decoder has ready when given a packet, or at the end for None; what is wrong, if anything)."""
    try:
        return context.decode(packet), ""
    except (*ERRORS, ValueError) as error:
        return [], str(getattr(error, "strerror", None) or error)
