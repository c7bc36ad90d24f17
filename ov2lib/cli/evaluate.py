"""`ov2 evaluate SAMPLES --out DIR`: a model's answers, or another program's, scored with intervals."""

import argparse
import hashlib
import os
from pathlib import Path

from tqdm import tqdm

from ..errors import EvaluationError
from ..evaluate.intervals import LEVEL
from ..evaluate.run import Evaluation, evaluate, given_answers, read_samples


def format_scores(evaluation: Evaluation, folder: str | os.PathLike) -> str:
    """What `ov2 evaluate` prints: a line for each metric, the bad samples, and where all of it is."""
    width = max(map(len, ["task", *evaluation.tasks]))
    lines = [f"{'task':<{width}}{'samples':>9}  {'metric':<10}{'mean':>7}   {LEVEL:.0%} interval"]
    for task, scores in evaluation.tasks.items():
        for metric, one in scores.metrics.items():
            spread = "one clip: none" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
            failed = f"   ({scores.failed} more failed)" if scores.failed else ""
            lines.append(f"{task:<{width}}{scores.samples:>9}  {metric:<10}{one.value:>7.3f}   {spread}{failed}")
        if not scores.metrics:
            lines.append(f"{task:<{width}}{scores.samples:>9}  all {scores.failed} failed")
    lines += [f"bad: {name}: {' '.join(why.split())}" for name, why in evaluation.bad.items()]
    return "\n".join([*lines, f"{len(evaluation.bad)} bad samples; all in {folder}"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 evaluate`."""
    # 1. The samples, and whose answers are scored
    parser.add_argument("samples", metavar="SAMPLES", help="JSONL file, one sample a line")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for answers and scores; a killed run goes on there")
    answers = parser.add_mutually_exclusive_group(required=True)
    answers.add_argument("--model", metavar="DIR", help="folder of a checkpoint or an adapter")
    answers.add_argument("--predictions", metavar="FILE", help="answers of another program: JSONL with id and prediction")
    parser.add_argument("--revision", help="name of the model's version (default: a digest of the files)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the intervals (default 0)")
    # 2. How the model is asked
    model = parser.add_argument_group("with --model")
    model.add_argument("--device", help="cpu, cuda, cuda:1, ...; a GPU where there is one by default")
    model.add_argument("--batch-size", type=int, default=1, metavar="N", help="samples generated together (default 1)")
    model.add_argument("--max-new-tokens", type=int, default=1024, metavar="N", help="length of an answer (default 1024)")
    model.add_argument("--blind", action="store_true", help="zero every pixel and keep the time tags")
    model.add_argument("--backend", choices=("codec", "frames"), help="how videos become tokens, whatever the samples say")
    model.add_argument("--canvases", type=int, metavar="N", help="codec: canvases to make, whatever the samples say")
    model.add_argument("--frames", type=int, metavar="N", help="frames: frames to sample, whatever the samples say")
    model.add_argument(
        "--frames-prompt",
        choices=("inference", "training"),
        help="how frames are written (default: the checkpoint's way)",
    )
    model.add_argument(
        "--timestamps",
        choices=("presentation", "published"),
        help="time tags say when a frame is shown, or frame index / fps as the released code does (default: the checkpoint's)",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the scores; status 1 when there were bad samples."""
    # 1. Numbers that make no sense
    for name in ("limit", "batch_size", "max_new_tokens", "canvases", "frames"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise EvaluationError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
    if args.seed < 0:
        raise EvaluationError(f"--seed is {args.seed}; it must be at least 0")
    # 2. The samples, and what answers them: another program's file or a model
    samples, bad = read_samples(args.samples, args.limit)
    if args.predictions:
        (predict, unread), options = given_answers(args.predictions), {}
        bad |= unread
        with open(args.predictions, "rb") as file:
            revision = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    else:
        from ..evaluate.predict import fingerprint, load_predictor

        settings = {"video_backend": args.backend, "num_canvases": args.canvases, "num_frames": args.frames}
        predict = load_predictor(
            args.model, args.device, max_new_tokens=args.max_new_tokens, batch_size=args.batch_size, blind=args.blind,
            frames_prompt=args.frames_prompt, timestamps=args.timestamps,
            overrides={name: value for name, value in settings.items() if value is not None},
        )  # fmt: skip
        revision, options = fingerprint(args.model), predict.options
    # 3. Answer and score, with a bar
    with tqdm(desc="samples", unit="", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        evaluation = evaluate(
            samples, predict, args.out, model=args.model or args.predictions, revision=args.revision or revision,
            dataset=Path(args.samples).name, options=options, seed=args.seed, bad=bad, progress=show,
        )  # fmt: skip
    # 4. Report
    print(format_scores(evaluation, args.out))
    return 1 if evaluation.bad else 0
