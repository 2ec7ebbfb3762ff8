"""The site that ``make docs`` writes: the same Markdown files that GitHub shows, by Sphinx.

The source folder is the root of the repository, so links between pages hold here as they do there.
What only the site has is in this folder: the navigation, the gallery and the pages of the API.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
sys.path.insert(0, str(ROOT))

import torchassistant  # noqa: E402

project = "TorchAssistant"
copyright = "TorchAssistant contributors"
release = torchassistant.__version__
html_title = f"TorchAssistant {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/site/**.md", "examples/*/README.md"]
exclude_patterns = [
    ".*",
    "docs/site/navigation.md",
    *(
        f"{name}*"
        for name in ("benchmarks", "build", "data", "sessions", "tests", "torchassistant")
    ),
]

# Anchors as GitHub makes them.
myst_heading_anchors = 6
# JSON with comments, and with "…" where something was left out.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# They are fetched, which browsers refuse for files.
html_show_search_summary = False

PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)\s]+)\)(?:\]\(([^)\s#]+\.md)\))?")
COMMENT = re.compile(r"^<!-- .* -->\n", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)"></a>\s*')


def pictures() -> dict[Path, dict[Path, str]]:
    """The pictures of all pages, each with its description, under the page that it is about.

    That is the page that it links to, or else the first that shows it.
    """
    examples = sorted(ROOT.glob("examples/*/README.md"))
    found: dict[Path, dict[Path, str]] = {}
    seen: set[Path] = set()
    for page in (ROOT / "README.md", *examples, *sorted(ROOT.glob("docs/*.md"))):
        for description, link, linked in PICTURE.findall(page.read_text(encoding="utf-8")):
            picture = (page.parent / link).resolve()
            if picture not in seen:
                seen.add(picture)
                about = (page.parent / linked).resolve() if linked else page
                found.setdefault(about, {})[picture] = description
    return found


def gallery() -> str:
    """A section for each page that pictures are about."""
    lines = []
    for page, shown in pictures().items():
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"## [{title}](/{page.relative_to(ROOT).as_posix()})")
        for picture, description in shown.items():
            lines.append(f"![{description}](/{picture.relative_to(ROOT).as_posix()})")
            lines.append(f"{description}.")
    return "\n\n".join(lines)


def configs(example: Path) -> str:
    """A section for each config of an example, the one that trains it first."""
    files = sorted(example.glob("*.json"), key=lambda file: (file.name != "training.json", file))
    return "\n".join(
        f"## `{file.name}`\n\n```{{literalinclude}} {file.name}\n:language: json\n```\n"
        for file in files
    )


def prepare(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give a page what only the site has: targets, the navigation, pictures, configs."""
    # A target is an attribute of what follows it, which must not be a comment.
    source[0] = ANCHOR.sub(r"(\1)=\n", COMMENT.sub("", source[0]))
    if docname == root_doc:
        source[0] += "\n" + (SITE / "navigation.md").read_text(encoding="utf-8")
    elif docname == "docs/site/gallery":
        source[0] += "\n" + gallery()
    elif docname.startswith("examples/"):
        source[0] += "\n" + configs((ROOT / docname).parent)


def open_with_readme(app: Sphinx, exception: Exception | None) -> None:
    """Let the README be what a browser finds in the folder of the site."""
    if exception is None:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", prepare)
    app.connect("build-finished", open_with_readme)
