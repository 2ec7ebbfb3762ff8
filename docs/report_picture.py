"""Takes the picture of a report that the README shows.

    python docs/report_picture.py SESSION_DIR…

It needs playwright and Chromium, as the tests of reports do.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from torchassistant.cli.main import main

PICTURE = Path(__file__).parent / "pictures" / "report.png"


def take(sessions: list[str], picture: Path) -> None:
    """Write a report of some sessions, and take a picture of its beginning."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = Path(folder, "report.html")
        if main(["report", *sessions, "-o", str(report)]) != 0:
            raise SystemExit(2)
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(report.as_uri())
        page.wait_for_selector("#curves canvas")
        page.get_by_label("Log scale").check()
        picture.parent.mkdir(exist_ok=True)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1:], PICTURE)
