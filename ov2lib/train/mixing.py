"""Which source the next sample comes from, and which front end reads its video: by weight, and the same on every run."""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ..errors import TrainingError
from ..samples.sample import Sample


def mix(
    streams: Mapping[str, Iterable[Sample]], weights: Mapping[str, float], seed: int = 0, counts: Counter | None = None
) -> Iterator[Sample]:
    """Interleave streams so that each gives its share of the samples; one that ends is dropped, the others keep their ratio.

    The order follows from the streams, the weights and the seed alone. A run that was stopped after n samples goes on with
    `itertools.islice(mix(...), n, None)`.

    Args:
        streams: by name, each in its own order.
        weights: by the same names, positive; only their ratio matters.
        seed: of the draws.
        counts: samples given so far by stream, counted up as they are given.

    Raises:
        TrainingError: streams and weights with different names, a weight that is not positive.
    """
    for name in sorted(streams.keys() ^ weights.keys()):
        missing = "weight" if name in streams else "stream"
        raise TrainingError(f"{name!r} has no {missing}; name the same streams and weights ({', '.join(sorted(streams))})")
    for name, weight in weights.items():
        if not 0 < weight < math.inf:
            raise TrainingError(f"the weight of {name!r} is {weight}; it must be positive, or leave the stream out")
    return _mixed(
        {name: iter(streams[name]) for name in sorted(streams)}, weights, seed, Counter() if counts is None else counts
    )


def _mixed(streams: dict[str, Iterator[Sample]], weights: Mapping[str, float], seed: int, counts: Counter) -> Iterator[Sample]:
    draws = random.Random(seed)
    while streams:
        names = list(streams)
        name = draws.choices(names, [weights[name] for name in names])[0]
        try:
            sample = next(streams[name])
        except StopIteration:
            del streams[name]
            continue
        counts[name] += 1
        yield sample


def choose_backend(sample_id: str, ratio: Mapping[str, float], seed: int = 0) -> str:
    """The front end of a sample's videos, where its media names none.

    A sample keeps its front end in every epoch, process and order of the data, and raising one front end's share moves
    samples to it and none away.

    Args:
        sample_id: the sample's id.
        ratio: a stage's input ratio: shares of "codec", "frames" and "image" inputs. Only the first two are compared: how
            many samples are images is a matter of the sources.
        seed: gives another assignment.

    Returns:
        "codec" or "frames".

    Raises:
        TrainingError: an unknown input, a negative share, no share for either front end.
    """
    codec, frames = ratio.get("codec", 0.0), ratio.get("frames", 0.0)
    known = ratio.keys() <= {"codec", "frames", "image"}
    if not known or min(ratio.values(), default=0) < 0 or not 0 < codec + frames < math.inf:
        raise TrainingError(f"the input ratio is {dict(ratio)}; give shares of 'codec', 'frames' and 'image', none negative")
    digest = hashlib.blake2b(f"{seed}/{sample_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return "codec" if int.from_bytes(digest) / 2**64 < codec / (codec + frames) else "frames"
