"""The site of ``make docs``: complete, without a broken link, and whole without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import torchassistant
import torchassistant.callbacks

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
NAVIGATION = (SITE / "navigation.md").read_text(encoding="utf-8")
API = {page: page.read_text(encoding="utf-8") for page in sorted((SITE / "api").glob("*.md"))}
PAGES = [
    *sorted(set(ROOT.glob("*.md")) - {ROOT / "README.md"}),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
    SITE / "gallery.md",
    *API,
]
DRAWN = [*ROOT.glob("examples/*/graph.svg"), *ROOT.glob("docs/pictures/*")]


def documented() -> set[str]:
    return set(
        re.findall(r"^\.\. auto\w+:: ([\w.]+)(?:\(\))?$", "\n".join(API.values()), re.MULTILINE)
    )


def built_in() -> set[str]:
    table = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(torchassistant\.\w+)` \| (.*) \|$",
        table.partition("## The built-in classes")[2],
        re.MULTILINE,
    )
    return {f"{module}.{name}" for module, names in rows for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_navigation_leads_to_every_page(page: Path) -> None:
    name = page.relative_to(ROOT).with_suffix("").as_posix()
    found = re.findall(rf"^(?:.* <)?{re.escape(name)}>?$", NAVIGATION, re.MULTILINE)
    assert len(found) == 1, f"add {name} to docs/site/navigation.md"


def test_the_api_has_what_is_built_in() -> None:
    names = built_in()
    assert "torchassistant.losses.KLDistillation" in names
    assert names - documented() == set()


def test_the_api_has_what_is_public() -> None:
    public = {f"torchassistant.{name}" for name in torchassistant.__all__ if name[0] != "_"}
    public |= {f"torchassistant.callbacks.{name}" for name in torchassistant.callbacks.__all__}
    assert public - documented() == set()


def broken_links(page: Path, anchors: dict[Path, set[str]]) -> list[str]:
    """Links of a built page to files and anchors that are not there."""
    broken = []
    for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text(encoding="utf-8")):
        path, _, anchor = unquote(link).partition("#")
        if not re.match(r"\w+:", path):
            linked = (page.parent / path).resolve() if path else page
            if not linked.exists() or (anchor and anchor not in anchors.get(linked, ())):
                broken.append(link)
    return broken


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_needs_no_network(tmp_path: Path) -> None:
    site = tmp_path / "site"
    strict = ["-b", "html", "-q", "-W", "--keep-going", "-d", str(tmp_path / "doctrees")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, "-c", str(SITE), str(ROOT), str(site)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    for page in PAGES:
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file()
    assert "KLDistillation" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert "A first run" in (site / "index.html").read_text(encoding="utf-8")
    example = (site / "examples" / "digits" / "README.html").read_text(encoding="utf-8")
    assert "training_loader" in example.partition("training.json</span></code><a")[2]
    gallery = (site / "docs" / "site" / "gallery.html").read_text(encoding="utf-8")
    assert len(set(re.findall(r'src="[./]*_images/([^"]+)"', gallery))) >= len(DRAWN)
    anchors = {
        page: set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))
        for page in site.rglob("*.html")
    }
    for page in anchors:
        assert broken_links(page, anchors) == [], page
        loaded = re.findall(
            r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="([^"]+)"',
            page.read_text(encoding="utf-8"),
        )
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text("utf-8"))
