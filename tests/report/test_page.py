"""The page in a real browser: what it shows, what it does, that nothing goes wrong in it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from written_sessions import HOSTILE, csv_of, rows_of_epochs, tensor_file, write_session

from torchassistant.cli.main import main

playwright = pytest.importorskip("playwright.sync_api", reason="the pages need playwright")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="the pages need a browser: apt-get install chromium"
)


def png(brightness: int) -> bytes:
    """A gray picture of 4 by 4 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes([brightness] * 4)) * 4)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """A tab of a browser, in which all pages are opened one after another."""
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = driver.chromium.launch(executable_path=BROWSER, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(30_000)
        yield page
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(tab: Any) -> Iterator[Open]:
    """Opens a report; at the end no page may have complained."""
    complaints: list[str] = []
    heard = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda asked: complaints.append(asked.url) if "http" in asked.url else None,
    }
    for event, listener in heard.items():
        tab.on(event, listener)

    def open_page(path: Path, width: int = 1280, scheme: str = "light") -> Any:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=scheme)
        tab.goto(path.as_uri())
        tab.wait_for_selector(".foot p")
        return tab

    yield open_page
    tab.evaluate("sessionStorage.clear()")  # what was chosen
    for event, listener in heard.items():
        tab.remove_listener(event, listener)
    assert complaints == []


def report(*folders: Path, at: Path) -> Path:
    assert main(["report", *map(str, folders), "-o", str(at)]) == 0
    return at


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of one session that has everything."""
    folder = tmp_path_factory.mktemp("one")
    lines = [
        {"index": n, "image": {"png": f"{n}.png"}, "scores": [2.0 - n, 1.0], "label": 0}
        for n in range(3)
    ]
    rows = rows_of_epochs(range(1, 21), lr__adam=lambda epoch: 0.1 / epoch)
    rows[6]["val loss"] = math.nan
    rows[7]["val loss"] = math.inf
    within = [
        {"epoch": 1 + (step - 1) // 10, "step": step, "loss": 2 / step, "time": 1.7e9 + step}
        for step in range(1, 201)
    ]
    session = write_session(
        folder / "run",
        [rows[:12], rows[12:]],
        files={
            "static/classes.json": {"digits": ["cat", "<b>dog"]},
            "metrics/steps-0.csv": csv_of(within),
            "metrics/0-100.safetensors": tensor_file({"confusion": [[5.0, 1.0], [2.0, 4.0]]}),
            "metrics/1-200.safetensors": tensor_file(
                {
                    "confusion": [[6.0, 0.0], [1.0, 5.0]],
                    "roc": ([0.0, 0.2, 1.0], [0.0, 0.9, 1.0]),
                    "pr": ([0.5, 0.8, 1.0, 1.0], [1.0, 1.0, 0.5, 0.0], [0.0, 0.4, 0.8]),
                }
            ),
            "samples/shown/epoch-0020/samples.jsonl": "".join(f"{json.dumps(x)}\n" for x in lines),
            **{f"samples/shown/epoch-0020/{n}.png": png(80 * n) for n in range(3)},
            "find-lr/adam.json": {
                "curve": [{"lr": 10.0**-n, "loss": n, "smoothed": n} for n in range(6, 0, -1)]
                + [{"lr": 1.0, "loss": None, "smoothed": None}, 3],
                "suggestion": 0.01,
            },
            "changes.jsonl": json.dumps(
                {
                    "time": "2026-01-02T04:00:00+00:00",
                    "step": 50,
                    "what": "seed",
                    "before": 1,
                    "after": 2,
                }
            )
            + "\n",
        },
    )
    return report(session, at=folder / "report.html")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two sessions."""
    folder = tmp_path_factory.mktemp("two")
    slow = write_session(folder / "slow", [rows_of_epochs(range(1, 21), 2)], seed=1)
    fast = write_session(folder / "fast", [rows_of_epochs(range(1, 16))], seed=2)
    return report(slow, fast, at=folder / "report.html")


def card(page: Any, name: str) -> Any:
    return page.locator(f'#curves article[aria-label="{name}"]')


def lines_drawn(page: Any, name: str) -> int:
    """How many lines of a chart are on its canvas."""
    card(page, name).locator(".u-over").wait_for()  # it is drawn when it comes into sight
    place = card(page, name).locator(".plot")
    return int(place.evaluate("node => node.chart.u.series.slice(1).filter(s => s.show).length"))


def test_the_pointer_shows_the_values(opened: Open, one: Path) -> None:
    page = opened(one)
    chart = card(page, "val acc").locator(".u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    # Epochs 1 to 20: the right end is the last.
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    tip = card(page, "val acc").locator(".tip")
    tip.wait_for()
    told = tip.inner_text()
    expected = rows_of_epochs((20,))[0]["val acc"]
    assert float(told.split()[-1]) == pytest.approx(expected, rel=1e-4)
    assert told.startswith("epoch 20 · step 200 · 30 s")
    page.mouse.move(5, 5)
    assert not card(page, "val acc").locator(".tip").is_visible()


def test_charts_out_of_sight_are_drawn_too(opened: Open, one: Path) -> None:
    """As a picture of the whole page, or a print, shows them."""
    page = opened(one)
    drawn = "[...document.querySelectorAll('.plot')].filter(plot => plot.chart.u).length"
    assert within_a_while(lambda: page.evaluate(drawn) > 4)


def test_lines_and_axes_are_switched(opened: Open, one: Path) -> None:
    page = opened(one)
    loss = card(page, "loss")
    loss.scroll_into_view_if_needed()
    assert lines_drawn(page, "loss") == 3  # loss, within its epochs, and in validation
    loss.get_by_role("button", name="val loss").click()
    assert lines_drawn(page, "loss") == 2
    assert loss.get_by_role("button", name="val loss").get_attribute("aria-pressed") == "false"
    ends = "node => node.chart.u.data[0].at(-1)"
    found = {}
    for title in ("Step", "Time", "Epoch"):
        page.get_by_role("radio", name=title).check()
        found[title] = loss.locator(".plot").evaluate(ends)
    assert found == {"Step": 200, "Time": 30, "Epoch": 20}
    page.get_by_label("Log scale").check()
    assert loss.locator(".plot").evaluate("node => node.chart.u.scales.y.distr") == 3
    page.get_by_label("Smoothing").fill("0.8")
    assert lines_drawn(page, "loss") == 4  # and behind each what it was
    page.get_by_label("Stage", exact=True).select_option("1")
    assert loss.locator(".plot").evaluate("node => node.chart.u.data[0][0]") == 13
    assert "2 values are not finite, first NaN at epoch 7" in loss.inner_text()


def test_a_part_is_looked_at_closer(opened: Open, one: Path) -> None:
    page = opened(one)
    loss = card(page, "loss")
    loss.scroll_into_view_if_needed()
    box = loss.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    page.mouse.up()
    low, high = loss.locator(".plot").evaluate("node => node.chart.range")
    assert 4 < low < 8
    assert 9 < high < 12
    page.reload()
    card(page, "loss").scroll_into_view_if_needed()
    assert loss.locator(".plot").evaluate("node => node.chart.range") == [low, high]
    loss.get_by_role("button", name="Reset zoom").click()
    low, high = loss.locator(".plot").evaluate("node => node.chart.range")
    assert (low < 1, high) == (True, 20)


def test_everything_is_reached_by_keys(opened: Open, one: Path) -> None:
    page = opened(one)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    plot = card(page, "val acc").locator(".plot")
    plot.scroll_into_view_if_needed()
    plot.focus()
    assert plot.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert card(page, "val acc").locator(".tip").inner_text().startswith("epoch 19")
    page.get_by_text("epoch 19: val acc 0.").wait_for(state="attached")
    page.keyboard.press("+")
    assert card(page, "val acc").get_by_role("button", name="Reset zoom").is_visible()
    page.keyboard.press("0")
    assert not card(page, "val acc").get_by_role("button", name="Reset zoom").is_visible()
    # Whatever can be pressed or chosen has a name; headings, landmarks and captions are there.
    nameless = """() => [...document.querySelectorAll('button, input, select, [tabindex="0"]')]
        .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim()
            || (e.labels && e.labels.length))).length"""
    assert page.evaluate(nameless) == 0
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    said = card(page, "val acc").locator("canvas").get_attribute("aria-label")
    assert re.match(r"val acc\. val acc: last 0\.\d+, best 0\.\d+ at epoch \d+", said)


def test_every_value_stands_in_a_table(opened: Open, one: Path) -> None:
    page = opened(one)
    values = card(page, "val acc").locator("details.values")
    values.locator("summary").click()
    rows = values.locator("tbody tr")
    assert within_a_while(lambda: rows.count() == 20)
    assert rows.nth(4).locator("td").last.inner_text() == str(rows_of_epochs((5,))[0]["val acc"])
    with page.expect_download() as download:
        values.get_by_role("button", name="Save as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "session,stage,name,epoch,step,seconds,value"
    assert len(lines) == 21


def test_matrices_curves_samples_and_the_rest(opened: Open, one: Path) -> None:
    page = opened(one)
    matrix = page.locator("table.matrix")
    assert matrix.locator("tbody td").all_inner_texts() == ["6", "0", "1", "5"]
    assert matrix.locator("th").all_inner_texts() == ["cat", "<b>dog", "cat", "<b>dog"]
    page.get_by_role("slider", name="Epoch").fill("0")
    assert matrix.locator("tbody td").all_inner_texts() == ["5", "1", "2", "4"]
    roc = page.locator('#classes article[aria-label="roc"]')
    assert roc.locator(".legend td").inner_text() == "0.85"
    # By steps, from all examples down to none: 0.8 of one half, and 1 of the other.
    precise = page.locator('#classes article[aria-label="pr"]')
    assert precise.locator(".legend td").inner_text() == "0.9"
    images = page.locator(".gallery img")
    assert images.count() == 3
    assert images.first.evaluate("image => image.naturalWidth") == 4
    assert (
        page.locator(".gallery .verdict").first.inner_text().startswith("✗ <b>dog instead of cat")
    )
    drawn = page.locator("#graph").get_by_alt_text("Training graph of run")
    drawn.scroll_into_view_if_needed()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
    rates = page.locator('#rates article[aria-label="Range test of adam"]')
    assert "find-lr suggests 0.01" in rates.inner_text()
    for text in ("checkpoints/0000000200", "seed", "part 1"):
        assert page.get_by_text(text).count() > 0
    assert "step 50" in page.locator(".changes").inner_text()


def within_a_while(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold."""
    ends = time.monotonic() + 20
    while not holds() and time.monotonic() < ends:
        time.sleep(0.05)
    return holds()


def test_the_time_is_divided_by_phases(opened: Open, one: Path, two: Path) -> None:
    page = opened(one)
    spent = page.locator("#time")
    rows = spent.locator('article[aria-label="By phase"] tbody tr').all_inner_texts()
    assert [" ".join(row.split()) for row in rows] == [
        "data 2.4 s · 13 % 1.6 s · 13 %",
        "forward 4.8 s · 27 % 3.2 s · 27 %",
        "backward 7.2 s · 40 % 4.8 s · 40 %",
        "other 3.6 s · 20 % 2.4 s · 20 %",
    ]
    chart = spent.locator('article[aria-label="Phases of each epoch"]')
    chart.scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    chart.locator(".tip").wait_for()
    told = chart.locator(".tip").inner_text().split()
    assert told == [*("epoch", "20", "other", "0.3", "backward", "0.6"), *told[6:]]
    top = "node => node.chart.u.data.slice(1).map(y => Math.round(10 * y.at(-1)) / 10)"
    assert chart.locator(".plot").evaluate(top) == [1.5, 1.2, 0.6, 0.2]
    both = opened(two).locator('#time article[aria-label="Phases of each epoch"]')
    both.scroll_into_view_if_needed()
    both.locator(".u-over").wait_for()
    last = "node => node.chart?.range?.[1]"  # none until it is drawn
    assert within_a_while(lambda: both.locator(".plot").evaluate(last) == 20)
    both.get_by_label("Session").select_option("1")
    assert within_a_while(lambda: both.locator(".plot").evaluate(last) == 15)


def test_many_keys_of_several_sessions_take_turns(opened: Open, tmp_path: Path) -> None:
    keys = {f"F1__{n}": lambda epoch, n=n: epoch / 20 + n for n in range(10)}
    folders = [write_session(tmp_path / n, [rows_of_epochs((1, 2), **keys)]) for n in "ab"]
    page = opened(report(*folders, at=tmp_path / "r.html"))
    card(page, "F1").scroll_into_view_if_needed()
    assert lines_drawn(page, "F1") == 2
    card(page, "F1").get_by_label("Shown").select_option("F1/7")
    assert lines_drawn(page, "F1") == 2
    assert card(page, "F1").locator(".legend td").first.inner_text() == "7.1"
    card(page, "F1").locator("details.values summary").click()
    rows = card(page, "F1").locator("details.values tbody tr")
    assert within_a_while(lambda: rows.count() == 40)


def test_sessions_lie_over_one_another(opened: Open, two: Path) -> None:
    page = opened(two)
    card(page, "loss").scroll_into_view_if_needed()
    assert lines_drawn(page, "loss") == 4
    chip = page.locator(".chip", has_text="slow")
    chip.click()
    assert (chip.get_attribute("aria-pressed"), lines_drawn(page, "loss")) == ("false", 2)
    chip.click()
    differing = page.locator("table.differences").first.locator("tbody tr").first
    assert differing.inner_text().split() == ["seed", "1", "2"]
    best = page.locator("table.comparison tbody tr").nth(1)
    assert "wins" in (best.locator("td").nth(1).get_attribute("class") or "")
    colors = (
        card(page, "loss")
        .locator(".plot")
        .evaluate("node => node.chart.lines.map(line => line.color + line.dash)")
    )
    assert len(set(colors)) == 4


def test_it_fits_any_screen_light_and_dark(opened: Open, one: Path, two: Path) -> None:
    def brightness(page: Any) -> int:
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", back)))

    for path, scheme in ((one, "light"), (two, "dark")):
        page = opened(path, scheme=scheme)
        for width in (360, 768, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            widest = "document.documentElement.scrollWidth"
            assert within_a_while(lambda: page.evaluate(widest) <= width)  # noqa: B023
        assert (brightness(page) > 600) == (scheme == "light")
        page.get_by_role("button", name="Colours").click()  # light
        assert brightness(page) > 600
        page.get_by_role("button", name="Colours").click()  # dark
        assert brightness(page) < 120


def test_hostile_names_are_texts(opened: Open, tmp_path: Path) -> None:
    rows = rows_of_epochs((1, 2), **{HOSTILE: lambda epoch: epoch})
    session = write_session(
        tmp_path / "<b>&'\"",
        [rows],
        files={
            "environment.json": {HOSTILE: HOSTILE, "command": [HOSTILE]},
            "samples/<i>x/epoch-1/samples.jsonl": json.dumps({"index": 0, HOSTILE: HOSTILE}) + "\n",
            "changes.jsonl": json.dumps({"what": HOSTILE, "before": HOSTILE, "after": 1}) + "\n",
        },
    )
    page = opened(report(session, at=tmp_path / "r.html"))
    assert page.evaluate("window.hurt") is None
    (picture,) = page.locator("img").all()
    assert picture.get_attribute("class") == "graph"
    assert card(page, HOSTILE.replace('"', '\\"')).count() == 1
    assert page.get_by_role("heading", level=1).inner_text().startswith("<b>&'\"")


def test_odd_sessions_are_shown(opened: Open, tmp_path: Path) -> None:
    empty = write_session(tmp_path / "empty", [[]], files={"metrics/0.csv": None})
    single = write_session(tmp_path / "single", [rows_of_epochs((1,))])
    broken = write_session(tmp_path / "broken", files={"spec.json": "{"})
    nothing = [
        {"epoch": n, "step": n, "loss": math.nan if n > 1 else 0.0, "seconds": 0.0} for n in (1, 2)
    ]
    lost = write_session(tmp_path / "lost", [nothing])
    for number, folders in enumerate(([empty], [single], [broken], [empty, single, broken, lost])):
        page = opened(report(*folders, at=tmp_path / f"{number}.html"))
        for plot in page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
        page.get_by_role("button", name="Colours").click()
    assert page.get_by_text("some of it cannot be read").count() == 1


def test_a_long_report_opens_at_once(opened: Open, tab: Any, tmp_path: Path) -> None:
    folders = [
        write_session(
            tmp_path / f"run{n}", [rows_of_epochs(range(1, 1001), 1 + n / 10)], layers=n + 1
        )
        for n in range(10)
    ]
    path = report(*folders, at=tmp_path / "r.html")
    measured = tab.context.new_cdp_session(tab)
    # The time of the processor: it says the same on a machine that does something else, too.
    measured.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    measured.send("Performance.enable")
    page = opened(path)
    found = {
        one["name"]: one["value"] for one in measured.send("Performance.getMetrics")["metrics"]
    }
    measured.detach()
    assert 0 < found["TaskDuration"] < 2, "1 s on an idle machine"
    card(page, "loss").scroll_into_view_if_needed()
    assert lines_drawn(page, "loss") == 20
    assert page.locator("#graph img").count() == 10
