"""Check a built site: every link inside it leads somewhere and no page loads anything from the network.

    python docs/check.py docs/_build/html

Addresses outside the site are listed in `external_links.txt` beside its folder, to be tried by hand.
"""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, and what it links to or loads: (tag, address)."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links = {"", "top"}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.links += [(tag, values[name]) for name in ("href", "src") if values.get(name)]


read = cache(Page)


def check(site: Path) -> tuple[list[str], list[str]]:
    """What is wrong with the pages of a folder, and the addresses outside it that they name."""
    wrong, outside = [], set()
    for path in sorted(site.rglob("*.html")):
        for tag, address in read(path).links:
            parts = urlsplit(address)
            if parts.netloc and tag == "a":
                outside.add(address)
            elif parts.netloc:
                wrong.append(f"{path.relative_to(site)}: <{tag}> loads {address}")
            elif not parts.scheme and not leads_somewhere(path, unquote(parts.path), unquote(parts.fragment)):
                wrong.append(f"{path.relative_to(site)}: {address} leads nowhere")
    for path in sorted(site.rglob("*.css")):
        loads = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^'\")\s]+", path.read_text(encoding="utf-8"))
        wrong += [f"{path.relative_to(site)}: {load}" for load in loads]
    return wrong, sorted(outside)


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = (page.parent / path).resolve() if path else page
    return target.is_file() and (target.suffix != ".html" or anchor in read(target).anchors)


def main(folder: str) -> int:
    """Print what is wrong; exit status 1 if anything is."""
    site = Path(folder).resolve()
    wrong, outside = check(site)
    (site.parent / "external_links.txt").write_text("".join(f"{address}\n" for address in outside), encoding="utf-8")
    print(*wrong, f"{len(wrong)} links are wrong; {len(outside)} lead outside, see external_links.txt", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
