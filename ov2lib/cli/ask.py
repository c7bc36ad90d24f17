"""`ov2 ask VIDEO_OR_IMAGE "question" --model DIR`: a model's answer, printed as it comes."""

import argparse

from ..model.ask import ask
from ..model.prompt import TIMESTAMPS
from ..samples.media import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 ask`."""
    parser.add_argument("media", metavar="VIDEO_OR_IMAGE", help="path of a video or an image")
    parser.add_argument("question")
    parser.add_argument("--model", required=True, metavar="DIR", help="folder of a checkpoint or an adapter")
    parser.add_argument("--backend", choices=tuple(BACKENDS), help="how a video becomes tokens (default: the checkpoint's way)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; a GPU where there is one by default")
    parser.add_argument("--canvases", type=int, metavar="N", help="codec: canvases to make")
    parser.add_argument("--frames", type=int, metavar="N", help="frames: frames to sample")
    parser.add_argument(
        "--timestamps",
        choices=TIMESTAMPS,
        help="time tags say when a frame is shown, or frame index / fps as the released code does (default: the checkpoint's)",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=256, metavar="N", help="length of the answer at most (default 256)"
    )


def run(args: argparse.Namespace) -> int:
    """Stream the answer to stdout."""
    ask(
        args.media, args.question, args.model, args.backend, args.device, args.max_new_tokens,
        stream=True, timestamps=args.timestamps, num_canvases=args.canvases, num_frames=args.frames,
    )  # fmt: skip
    return 0
