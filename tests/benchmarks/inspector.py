"""How large and how quick the inspector's page is: `python tests/benchmarks/inspector.py [VIDEO] [--seconds 60]`.

Prints the time to make the page, its size, the time from opening it to the first picture, and the frames a second while
every frame is scrubbed through in the layer "score", in a headless browser.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import browser

from ov2lib.inspector import Inspection, Settings

OPENED = "while (!document.querySelector('main')?.dataset.drawn) await new Promise((next) => setTimeout(next, 5));"
PICTURE = (
    "const one = document.querySelector('main').inspector.pictures[0].image; await one.decode(); return performance.now();"
)
SCRUB = """
const inspector = document.querySelector('main').inspector;
inspector.update({ layer: 'score' });
const begun = performance.now();
const count = inspector.data.frames.length;
for (let at = 0; at < count; at++) {
  inspector.update({ at });
  await new Promise(requestAnimationFrame);
}
return count / ((performance.now() - begun) / 1000);
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video", nargs="?", default="tests/data/beach_360x640_h264.mp4")
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        inspection = Inspection(args.video, Settings(end=args.seconds))
        path = inspection.save(Path(folder) / "page.html")
        made, frames = time.perf_counter() - begun, len(inspection.data["frames"])
        print(f"{frames} frames: made in {made:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
        with browser.window(1280, 900) as window:
            window.open(path.as_uri())
            first = window.run(OPENED + PICTURE)
            print(f"first picture after {first / 1000:.2f} s; scrubbing {window.run(SCRUB):.0f} frames a second")


if __name__ == "__main__":
    main()
