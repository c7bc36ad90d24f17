"""`python -m ov2lib.train`: what `ov2 train` does, in a form that `accelerate launch -m` can start."""

import sys

from ..cli import main

sys.exit(main(["train", *sys.argv[1:]]))
