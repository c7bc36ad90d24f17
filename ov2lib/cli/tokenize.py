"""`ov2 tokenize`: a video file to a folder of visual tokens."""

import argparse

from tqdm import tqdm

from ..codec.config import FRONT_ENDS, PaperConfig
from ..codec.frontend import tokenize_video
from ..tokens import VisualTokens, check_target
from .reading import add_reading_arguments, open_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ov2 tokenize`."""
    default = PaperConfig()
    add_reading_arguments(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for canvases (PNG), positions (.npy) and the rest (JSON)"
    )
    parser.add_argument(
        "--front-end", choices=FRONT_ENDS, default=default.front_end,
        help="paper: groups cut by bit cost; ippp: fixed windows; released: what the published code does (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--canvases", type=int, default=default.num_canvases, metavar="N",
        help="most canvases (paper, ippp), or a target (released) (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-pixels", type=int, default=default.max_pixels, metavar="N", help="largest canvas in pixels (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Tokenize and save; the folder appears whole or not at all.

    Raises:
        VideoError: the file cannot be read as video.
        TokensError: the folder cannot be written, told before any work is done.
        Ov2Error: a number that makes no sense.
    """
    check_target(args.out)
    source = open_source(args)
    with tqdm(desc="frames", unit="", disable=None, leave=False) as bar:  # None: no bar where there is no terminal

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        tokens = tokenize_video(source, args.front_end, args.canvases, args.max_pixels, stream=args.stream, progress=show)
    folder = tokens.save(args.out)
    print(report(tokens))
    print(f"{'saved to':<16}{folder}")
    return 0


def report(tokens: VisualTokens) -> str:
    """The summary as lines of name and value."""
    return "\n".join(f"{name.replace('_', ' '):<16}{value}" for name, value in tokens.summary().items())
