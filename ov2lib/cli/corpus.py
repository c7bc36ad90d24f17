"""`ov2 corpus`: a folder of clips, or a corpus of any size, to shards of visual tokens that `ov2 train` reads.

ov2 corpus plan clips --out DIR     look at every file, put samples into shards
ov2 corpus run DIR --workers 8      make the shards; may be killed and started again at any moment
ov2 corpus plan DIR --out OTHER     the same samples in another configuration
"""

import argparse
import re
from pathlib import Path

from tqdm import tqdm

from ..codec.config import FRONT_ENDS
from ..corpus.plan import SHARD_SIZE, Settings, load_plan, make_plan
from ..corpus.run import ENGINES, all_ledgers, run_corpus
from ..corpus.summary import draw, statistics, write_table
from ..errors import Ov2Error, TrainingError
from ..geometry import MAX_PIXELS
from ..samples.media import BACKENDS, MediaOptions
from ..samples.shards import PICTURES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 corpus`, by action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    # 1. The plan
    plan = actions.add_parser("plan", help="look at every sample and put them into shards")
    plan.add_argument("input", metavar="INPUT", help="folder of clips, JSONL, CSV, parquet, tar shards, a pattern with a "
                      "protocol, or a planned folder")  # fmt: skip
    plan.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    plan.add_argument("--backend", choices=tuple(BACKENDS), help="how videos become tokens (default codec)")
    plan.add_argument("--front-end", choices=FRONT_ENDS, help="codec: who chooses canvases (default released)")
    plan.add_argument("--canvases", type=int, metavar="N", help="codec: canvases to make")
    plan.add_argument("--frames", type=int, metavar="N", help="frames: frames to sample, at most with --fps")
    plan.add_argument("--fps", type=float, help="frames: how many a second")
    plan.add_argument("--max-pixels", type=int, default=MAX_PIXELS, metavar="N", help="of a canvas (default %(default)s)")
    plan.add_argument("--patch-size", type=int, default=14, metavar="N", help="of the model (default %(default)s)")
    plan.add_argument("--picture", choices=tuple(PICTURES), default="png", help="png is exact, jpg a fifth of the size")
    plan.add_argument("--shard-size", type=int, default=SHARD_SIZE, metavar="N", help="samples (default %(default)s)")
    # 2. What works on a plan
    texts = {"run": "make the shards", "retry-failed": "try failed samples again", "status": "how far it is",
             "stats": "lengths, tokens, failures, speed"}  # fmt: skip
    for name, text in texts.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("folder", type=Path, metavar="DIR")
        if name in ("run", "retry-failed"):
            action.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
            action.add_argument("--engine", choices=ENGINES, default="local", help="local processes, or Ray (default local)")
            action.add_argument("--shard", default="1/1", metavar="I/N", help="only the I-th of N parts, for an array of jobs")
        if name == "stats":
            action.add_argument("--png", type=Path, metavar="FILE", help="draw them too")


def run(args: argparse.Namespace) -> int:
    """Do one action; status 1 where samples have failed."""
    if args.action == "plan":
        return _plan(args)
    if args.action in ("run", "retry-failed"):
        _run(args)
    print(format_status(args.folder))
    if args.action == "stats":
        print(format_statistics(statistics(args.folder)))
        if args.png:
            try:
                print(draw(args.folder, args.png))
            except OSError as error:
                raise Ov2Error(f"cannot write {args.png}: {error.strerror}; choose another place") from error
    return int(any(ledger["failed"] for ledger in all_ledgers(args.folder)))


def _plan(args: argparse.Namespace) -> int:
    given = {"video_backend": args.backend, "front_end": args.front_end, "num_canvases": args.canvases}
    options = MediaOptions(num_frames=args.frames, fps=args.fps, max_pixels=args.max_pixels, **given)
    settings = Settings(options, args.patch_size, args.picture, args.shard_size)
    with tqdm(desc="files", unit="", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        plan = make_plan(args.input, args.out, settings, show)
    print(format_plan(plan, args.out))
    return 0


def _run(args: argparse.Namespace) -> None:
    match = re.fullmatch(r"(\d+)/(\d+)", args.shard)
    if not match:
        raise TrainingError(f"--shard is {args.shard}; write I/N, such as 3/16")
    total = load_plan(args.folder)["samples"]
    with tqdm(desc="samples", total=total, unit="", disable=None, leave=False) as bar:
        run_corpus(
            args.folder, args.workers, args.engine, (int(match[1]), int(match[2])),
            lambda ledger: bar.update(ledger["ok"] + ledger["failed"]) and None, args.action == "retry-failed",
        )  # fmt: skip
    if len(all_ledgers(args.folder)) == load_plan(args.folder)["shards"]:
        print(write_table(args.folder))


def format_plan(plan: dict, folder: Path) -> str:
    """What `ov2 corpus plan` prints."""
    rows, reasons = plan["rows"], plan["rows"]["reasons"]
    lines = [f"{plan['samples']:,} samples in {plan['shards']:,} shards, {plan['seconds'] / 3600:,.2f} hours of video"]
    lines += [f"  {name:<12}{count:>10,}" for name, count in plan["lengths"].items()]
    lines.append(f"about {plan['expected_tokens']:,} tokens; {plan['unreadable']:,} files cannot be opened")
    if rows["skipped"]:
        lines.append(f"{rows['skipped']:,} of {rows['rows']:,} rows are no samples:")
        lines += [f"  {one['count']:,} x {one['reason']}: {', '.join(one['ids'][:5])}" for one in reasons]
    return "\n".join([*lines, f"next: ov2 corpus run {folder} --workers N"])


def format_status(folder: Path) -> str:
    """How many shards stand, and what is in them."""
    plan, ledgers = load_plan(folder), all_ledgers(folder)
    good, failed = (sum(ledger[name] for ledger in ledgers) for name in ("ok", "failed"))
    return f"{len(ledgers):,} of {plan['shards']:,} shards: {good:,} samples, {failed:,} failed"


def format_statistics(facts: dict) -> str:
    """What `ov2 corpus stats` prints below the status."""
    lines = [
        f"{facts['tokens']:,} tokens, {facts['bytes'] / 2**20:,.1f} MiB, {facts['per_core_hour']:,.0f} samples per core-hour"
    ]
    lines += [f"  {name:<12}{count:>10,}" for name, count in facts["lengths"].items()]
    return "\n".join(lines + [f"failed: {count:,} x {cause}" for cause, count in facts["causes"].items()])
