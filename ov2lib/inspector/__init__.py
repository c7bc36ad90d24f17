"""A codec inspector: what a video's stream says and what a model is shown of it, as one page for a browser.

    ov2 inspect my.mp4 --html page.html

`gather` reads a stretch of a video into plain values and packed arrays, `page` writes them with the script and the style into
one file that needs no network, and `widget` shows the same in a notebook. Nothing is worked out in the browser: every number
on the page is one of `gather`'s.
"""

from .gather import Settings, gather
from .page import Inspection, page

__all__ = ["Inspection", "Settings", "gather", "page"]
