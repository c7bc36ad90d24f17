"""The blind arm at full scale: lmms-eval's own command line, with the model's eyes shut.

    accelerate launch -m ov2lib.evaluate.blind --model llava_onevision2 --model_args … --tasks JumpScore …

takes the arguments of `-m lmms_eval` and adds `blind=True` to the model arguments, where the result file keeps it. The
published wrapper builds the model as always; then every `pixel_values` that reaches the model is replaced by zeros.
They are normalised values, so each patch shows the mean colour. Time tags, patch positions, token counts and the prompt
stay as they are: what the model still scores, it scores without sight.

Install ov2lib beside lmms-eval with `pip install --no-deps ov2lib`: this module needs nothing else of it.
"""

import functools
import runpy
import sys

from ..errors import EvaluationError

WRAPPER = "llava_onevision2"  # published: the model's name in lmms-eval


def mark(arguments: list[str]) -> list[str]:
    """lmms-eval's arguments with `blind=True` added to `--model_args`.

    Raises:
        EvaluationError: the model is not this checkpoint's wrapper, or has no arguments to add to.
    """
    options = dict(zip(arguments, arguments[1:], strict=False))
    if options.get("--model") != WRAPPER or "--model_args" not in options:
        raise EvaluationError(f"the blind arm needs --model {WRAPPER} and --model_args …; see commands(blind=True)")
    place = arguments.index("--model_args") + 1
    return [*arguments[:place], arguments[place] + ",blind=True", *arguments[place + 1 :]]


def shut_eyes(model) -> None:
    """Replace every `pixel_values` passed to the model (a torch module) by zeros of the same shape and type."""

    def hide(module, args, kwargs):
        pixels = kwargs.get("pixel_values")
        return args, kwargs if pixels is None else {**kwargs, "pixel_values": pixels.new_zeros(pixels.shape)}

    model.register_forward_pre_hook(hide, with_kwargs=True)


def understand_blind(wrapper: type) -> None:
    """Teach the published wrapper class the argument `blind`."""
    build = wrapper.__init__

    @functools.wraps(build)
    def __init__(self, *args, blind: bool | str = False, **kwargs):
        build(self, *args, **kwargs)
        if str(blind).lower() == "true":
            shut_eyes(self.model)

    wrapper.__init__ = __init__


def main(arguments: list[str]) -> None:
    """Run lmms-eval with these arguments, blind."""
    sys.argv = ["lmms_eval", *mark(arguments)]
    from lmms_eval.models.chat.llava_onevision2 import Llava_OneVision2

    understand_blind(Llava_OneVision2)
    runpy.run_module("lmms_eval", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
