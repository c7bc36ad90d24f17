"""The inspector's data as one HTML file, and as a notebook's output."""

import base64
import hashlib
import html
import json
from importlib.resources import files
from pathlib import Path

from ..errors import Ov2Error
from ..files import whole_path
from ..video.source import Source
from .gather import Progress, Settings, gather


def page(data: dict) -> str:
    """The page: no file beside it, no network, and no text of the video's that could become markup.

    The policy allows this one script and pictures inside the file. Data is JSON in which <, > and & are escaped.
    """
    script = (
        _resource("inspector.js") + "\nmount(document.getElementById('inspector'), read(document.getElementById('data')))"
        ".then(({ root }) => window === top && root.focus({ preventScroll: true }));\n"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    values = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        values = values.replace(character, f"\\u{ord(character):04x}")
    title = html.escape(data["name"])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}: codec inspector</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>\n{_resource("inspector.css")}</style>\n'
        f'<main id="inspector"></main>\n<script type="application/json" id="data">{values}</script>\n'
        f'<script type="module">{script}</script>\n</html>\n'
    )


class Inspection:
    """A stretch of a video, ready to be looked at: the last line of a notebook's cell shows it, `save` writes the page.

    Raises:
        VideoError, Ov2Error: see `gather`.
    """

    def __init__(self, path, settings: Settings | None = None, progress: Progress = lambda what, done, total: None):
        source = path if isinstance(path, Source) else Source.open(path)
        self.data = gather(source, settings or Settings(), progress)

    def __repr__(self) -> str:
        return (
            f"Inspection({self.data['name']!r}, {len(self.data['frames'])} frames, {len(self.data['selections'])} selections)"
        )

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all.

        Raises:
            Ov2Error: it cannot be written.
        """
        try:
            with whole_path(Path(path)) as scratch:
                scratch.write_text(page(self.data), encoding="utf-8")
        except OSError as error:
            raise Ov2Error(f"cannot write {path}: {error.strerror}; choose another place") from error
        return Path(path)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which works without a kernel and keeps the notebook's own page apart."""
        document = html.escape(page(self.data), quote=True)
        return f'<iframe srcdoc="{document}" sandbox="allow-scripts" style="width:100%;height:56rem;border:0"></iframe>'

    def widget(self):
        """The same as an anywidget, for front ends that show no frames.

        Raises:
            Ov2Error: anywidget is not installed.
        """
        try:
            import anywidget
            import traitlets
        except ModuleNotFoundError as error:
            raise Ov2Error("the widget needs anywidget; install it with pip, or show the Inspection itself") from error

        class Inspector(anywidget.AnyWidget):
            _esm, _css = _resource("inspector.js"), _resource("inspector.css")
            data = traitlets.Dict().tag(sync=True)

        return Inspector(data=self.data)


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
