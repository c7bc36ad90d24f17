"""The `ov2` command: a table of subcommands, each a module with `add_arguments(parser)` and `run(args) -> exit status`.

Only the chosen module is imported, so that `ov2 --help` answers at once and a missing optional package matters only to the
commands that need it. Exit status: 0 done, 1 done with failures, 2 bad input (one line says what and what to do).
"""

import argparse
import errno
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable

from .. import __version__
from ..errors import Ov2Error, VideoWarning, install_hint

COMMANDS = {  # name: one line for the overview; each is a module of this package
    "tokenize": "turn a video into visual tokens",
    "inspect": "say what a video's stream offers, bits over time",
    "doctor": "check versions and codecs, and what each gives",
    "ask": "ask a model about a video or an image",
    "model-card": "parameters, memory and cost of a model size",
    "check": "what training on your data would skip, and cost",
    "corpus": "clips to shards of visual tokens, on one machine or many",
    "train": "train on your own data or as a published stage, full or LoRA",
    "merge": "add an adapter to its model",
    "evaluate": "score a model's answers to any dataset of samples",
    "assemble": "put a language model and a vision encoder together for stage 1",
    "plan": "what a training stage costs: tokens, FLOPs, memory, hours",
    "reproduce": "run the notebooks, regenerate figures/",
}
EXTRAS = {  # optional package: the extra of pyproject.toml that brings it
    "papermill": "notebooks",
    "nbformat": "notebooks",
    "matplotlib": "notebooks",
    "seaborn": "notebooks",
    "pandas": "notebooks",
    "torch": "model",
    "transformers": "model",
    "tokenizers": "model",
    "accelerate": "model",
    "peft": "train",
    "datasets": "train",
    "tensorboard": "train",
    "safetensors": "model",
}


def build_parser(subcommand: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the chosen subcommand's module is imported for its options."""
    parser = argparse.ArgumentParser(
        prog="ov2", description="Companion to LLaVA-OneVision-2: from a video to visual tokens and answers."
    )
    parser.add_argument("--version", action="version", version=f"ov2lib {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == subcommand:
            implementation = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv

    def command() -> int:
        args = build_parser(argv[0] if argv else None).parse_args(argv)
        return args.run(args)

    return run_safely(command)


def run_safely(command: Callable[[], int]) -> int:
    """The exit status of `command()`; what bad input causes becomes one line on stderr and status 2."""
    # 1. Output that a terminal cannot show becomes question marks, and warnings about a video become lines
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these letters, or a file name that is no text
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", VideoWarning)
                warnings.showwarning = _warn
                return command()
        finally:
            print(end="", flush=True)  # here, where a full disk can still be told
    # 2. What the user can mend: one line and status 2
    except Ov2Error as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        return _refuse(f"{package} is not installed; {install_hint(EXTRAS[package])}")
    # 3. What ends a program from outside
    except KeyboardInterrupt:
        print("ov2: interrupted", file=sys.stderr)
        return 130  # the shell's convention for Ctrl-C
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        _drop_output()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        return _refuse("no space left for the output; free some space or write it elsewhere")


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that Python does not try again, in vain, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(message: Warning | str, *where) -> None:
    print(f"ov2: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _refuse(why: str) -> int:
    print(f"ov2: {' '.join(why.split())}", file=sys.stderr)
    return 2
