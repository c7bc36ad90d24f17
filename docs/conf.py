"""How Sphinx makes the edition to browse; `make docs` runs it. The sources are the repository's own pages, where they lie."""

import os
import re
import sys
from pathlib import Path

import yaml
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

project, author, language = "ov2lib", "the authors of ov2lib", "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "data_cards/*.md", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = ["docs/_build", "docs/templates", ".*"]
templates_path = [str(ROOT / "docs/templates")]

nb_execution_mode = "off"  # outputs are those that are committed and tested
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
napoleon_use_ivar = True
default_role = "py:obj"  # a name between backticks leads to its entry, if there is one
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = "LLaVA-OneVision-2, the companion"
html_math_renderer = "mathml"
html_additional_pages = {"index": "start.html"}
html_static_path, html_css_files = ["static"], ["style.css"]
html_extra_path = ["_build/extra"]
html_copy_source = html_use_index = html_show_sphinx = html_show_copyright = False
html_show_search_summary = False  # a page opened from a disk may not read others


def facts_of_card(app, name: str, source: list[str]) -> None:
    """A data card's header becomes its title and a table."""
    if name.startswith("data_cards/"):
        _, header, body = source[0].split("---\n", 2)
        facts = yaml.safe_load(header)
        rows = "".join(f"| {key} | {in_words(value)} |\n" for key, value in facts.items() if key not in ("name", "title"))
        source[0] = f"# {facts['title']}\n\n| | |\n|---|---|\n{rows}\n{body}"


def in_words(value: object) -> str:
    """A value of a data card's header as a reader likes it."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {in_words(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str("not given" if value is None else value)


def examples_as_code(app, what, name, thing, options, lines: list[str]) -> None:
    """An indented block between paragraphs of a docstring is an example; reStructuredText takes it for a quotation."""
    for i in range(len(lines) - 1, 1, -1):
        if lines[i].startswith("    ") and not lines[i - 1] and re.match(r"\S", lines[i - 2]):
            lines[i:i] = ["::", ""]


class Links(SphinxTransform):
    """Links to a module's file lead to its page; those to folders, which have no page, become plain text."""

    default_priority = 300

    def apply(self):
        folder = (ROOT / self.env.docname).parent
        for link in list(self.document.findall(is_link)):
            path = Path(os.path.normpath(folder / link["reftarget"]))
            if path.is_dir():
                link.replace_self(link.children)
            elif path.suffix == ".py" and path.is_relative_to(ROOT / "ov2lib"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                target = {"refdomain": "py", "reftype": "mod", "reftarget": name, "refexplicit": True, "refwarn": True}
                link.replace_self(addnodes.pending_xref("", *link.children, refdoc=self.env.docname, **target))


def is_link(node: nodes.Node) -> bool:
    """A link that a page writes as a path."""
    return isinstance(node, addnodes.download_reference) or (
        isinstance(node, addnodes.pending_xref) and node["reftype"] == "myst"
    )


def mathml(writer, formula: nodes.Element) -> None:
    """Formulas become MathML here, so that they show without a network."""
    tex = re.sub(r"\\(?:[Bb]ig|textstyle)(?![a-z])", "", formula.astext()).replace(
        r"\dots", r"\ldots"
    )  # brackets grow by themselves
    block = isinstance(formula, nodes.math_block)
    markup = tex2mathml(tex, as_block=block)
    writer.body.append(f'<div class="formula">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def setup(app) -> None:
    app.connect("source-read", facts_of_card)
    app.connect("autodoc-process-docstring", examples_as_code, priority=400)  # before napoleon
    app.add_transform(Links)
    app.add_html_math_renderer("mathml", inline_renderers=(mathml, None), block_renderers=(mathml, None))
