"""How commands read a video: which of its streams, what to do about damage, and a bar while a large file is read."""

import argparse

from tqdm import tqdm

from ..video.damage import POLICIES
from ..video.source import Source


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """The video and how to read it."""
    parser.add_argument("video", metavar="VIDEO", help="any video file that FFmpeg reads")
    parser.add_argument("--stream", type=int, metavar="N", help="number of its video stream (default: FFmpeg's choice)")
    parser.add_argument(
        "--damaged", choices=POLICIES, default=POLICIES[0],
        help="skip: go on without what is damaged and say so; refuse: stop (default %(default)s)",
    )  # fmt: skip


def open_source(args: argparse.Namespace) -> Source:
    """Open the video; a bar on the terminal shows how far, once that takes over a second.

    Raises:
        VideoError: the file cannot be read as video.
    """
    with tqdm(desc="reading", unit="B", unit_scale=True, disable=None, leave=False, delay=1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(max(done - bar.n, 0))

        return Source.open(args.video, args.stream, args.damaged, show)
