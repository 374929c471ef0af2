"""The HTML report in a real browser: nothing in it runs or asks for anything, it sorts, filters and fits.

A driver of the test's own is put into a copy of the page, admitted by its hash; what it finds out is read from the
page that the browser gives back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tablever.escapes import safe
from tablever.findings import Findings
from tablever.report import page
from tests.test_report import HOSTILE, findings, with_updated

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium, chromium-browser or google-chrome here")

REPORT = """
const report = (value) => {
  if (parent === window) document.documentElement.dataset.report = JSON.stringify(value);
  else parent.postMessage(JSON.stringify(value), "*");
};
"""
# A window has at least 500 pixels; a frame can be as narrow as a telephone.
FRAME = """<!DOCTYPE html><html><body style="margin: 0">
<script>addEventListener("message", (event) => { document.documentElement.dataset.report = event.data; });</script>
<iframe src="page.html" style="width: WIDTHpx; height: 800px; border: 0"></iframe></body></html>"""


def opened(url: str, folder: Path, *options: str) -> str:
    """The page as the browser has it after its scripts have run."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={folder / 'profile'}", "--window-size=1700,900",
        "--virtual-time-budget=3000", *options, "--dump-dom", url,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def driven(html: str, driver: str, folder: Path, *options: str, width: int = 1200) -> Any:
    """What the driver reports of the page in a frame of that width."""
    code = REPORT + driver
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    html = html.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    html = html.replace("</body>", f"<script>{code}</script></body>")
    (folder / "page.html").write_text(html, "utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), "utf-8")
    found = re.search(r'data-report="([^"]*)"', opened((folder / "frame.html").as_uri(), folder, *options))
    assert found, "the driver did not run to its end"
    return json.loads(unescape(found[1]))


def many(statistics: bool = False) -> Findings:
    """Changed cells of two columns, texts and numbers, with nulls; wide rows; long words."""
    found = findings("x", statistics=statistics)
    updated = pa.table(
        {
            "id": ["b", "a10", "a9", "c", "d"],
            "from_labelx": ["same", "same", "old", None, "same"],
            "to_labelx": ["same", "same", "new", "x" * 400, "same"],
            "from_stars": [10.0, 9.0, 100.0, None, -inf],
            "to_stars": [11.0, 7.0, 100.0, 5.0, None],
        }
    )
    wide = pa.table({f"column_{number}": ["word" * 20] for number in range(30)})
    summary = replace(found.summary, added=1, updated=5, cells={"labelx": 2, "stars": 4})
    return with_updated(replace(found, added=wide, summary=summary), updated)


class Recorder(BaseHTTPRequestHandler):
    """Serves one page and notes every path that is asked for."""

    html = ""
    paths: list[str] = []  # noqa: RUF012 - the test sets it anew

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.html.encode())

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Recorder]]]:
    handler = type("Handler", (Recorder,), {"paths": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", handler
        serving.shutdown()
        thread.join()


def attack(url: str) -> str:
    return (
        f"<script>document.documentElement.dataset.ran = 1; fetch('{url}/fetched')</script>"
        f"<img src='{url}/image' onerror='document.documentElement.dataset.ran = 1'>"
        f"<style>@import '{url}/style';</style>"
        f"<link rel=stylesheet href='{url}/link'><iframe src='{url}/frame'></iframe>"
    )


def test_a_page_runs_and_asks_for_nothing(server: tuple[str, type[Recorder]], tmp_path: Path) -> None:
    """Opened in a browser, a page full of hostile texts runs none of them and makes no request but for itself."""
    url, handler = server
    handler.html = page.render(findings(attack(url), statistics=True))
    shown = opened(url, tmp_path)
    assert "data-ran" not in shown.split("<body>")[0]
    assert handler.paths == ["/"]


def test_the_attack_works_where_nothing_is_escaped(server: tuple[str, type[Recorder]], tmp_path: Path) -> None:
    """The same texts, put into a page as they are and without a policy, do run and do ask: the test above can fail."""
    url, handler = server
    handler.html = f"<!DOCTYPE html><html><head></head><body>{attack(url)}</body></html>"
    shown = opened(url, tmp_path)
    assert 'data-ran="1"' in shown.split("<body>")[0]
    assert {"/fetched", "/image", "/frame"} <= set(handler.paths)


def test_even_unescaped_nothing_would_run(server: tuple[str, type[Recorder]], tmp_path: Path) -> None:
    """Were a text not escaped, the page's policy would still let it neither run nor ask."""
    url, handler = server
    handler.html = page.render(findings()).replace("</main>", attack(url) + "</main>")
    shown = opened(url, tmp_path)
    assert "data-ran" not in shown.split("<body>")[0]
    assert handler.paths == ["/"]


CELLS = """
report(Array.from(document.querySelectorAll("table.cells tbody tr"), (row) =>
  [".old", ".new"].map((side) => row.querySelector(side).textContent)));
"""


def test_every_text_is_shown(tmp_path: Path) -> None:
    """What the browser shows of a hostile text is the text itself, with control characters as escapes."""
    texts = [text for text in HOSTILE if text]
    updated = pa.table(
        {"id": list(map(str, range(len(texts)))), "from_labelx": texts, "to_labelx": [text + "!" for text in texts]}
    )
    found = with_updated(findings("x"), updated)
    assert driven(page.render(found), CELLS, tmp_path) == [[safe(text), safe(text) + "!"] for text in texts]


SORTING = """
const table = document.querySelector("table.cells");
const shown = (place) => Array.from(table.tBodies[0].rows, (row) => row.cells[place].textContent);
const found = {};
for (const [place, name] of [[0, "key"], [2, "old"], [4, "change"]]) {
  const header = table.tHead.rows[0].cells[place];
  header.querySelector("button").click();
  found[name] = [shown(place), header.getAttribute("aria-sort")];
  header.querySelector("button").click();
  found[name + " down"] = [shown(place), header.getAttribute("aria-sort")];
}
found.sorted = table.tHead.querySelectorAll("[aria-sort]").length;
report(found);
"""


def test_a_table_sorts(tmp_path: Path) -> None:
    """A header sorts up, then down: numbers by value before texts, texts as people sort them, nulls and blanks last."""
    found = driven(page.render(many()), SORTING, tmp_path)
    assert found["key"] == [["a9", "a10", "b", "c", "c", "d"], "ascending"]
    assert found["key down"] == [["d", "c", "c", "b", "a10", "a9"], "descending"]
    assert found["old"] == [["-Infinity", "9.0", "10.0", "old", "NULL", "NULL"], "ascending"]
    assert found["old down"] == [["10.0", "9.0", "-Infinity", "old", "NULL", "NULL"], "descending"]
    assert found["change"][0][:2] == ["-2.0", "+1.0"]
    assert found["change down"][0][:2] == ["+1.0", "-2.0"]
    assert found["sorted"] == 1


FILTERING = """
const form = document.querySelector("form.filter");
const [column, words, said] = form.querySelectorAll("select, input, output");
const left = () => document.querySelectorAll("table.cells tbody tr:not([hidden])").length;
const found = [form.hidden, left()];
column.value = "1"; form.dispatchEvent(new Event("input")); found.push(left(), said.value);
words.value = "A1"; form.dispatchEvent(new Event("input")); found.push(left());
column.value = ""; words.value = ""; form.dispatchEvent(new Event("input")); found.push(left(), said.value);
report(found);
"""


def test_changed_cells_are_filtered(tmp_path: Path) -> None:
    """The form above the changed cells leaves those of a column, or with some words, and says how many."""
    assert driven(page.render(many()), FILTERING, tmp_path) == [False, 6, 4, "4 of 6", 1, 6, ""]


FITTING = """
const root = document.documentElement;
const outside = Array.from(document.querySelectorAll("body *")).filter((element) => !element.closest(".scroll, svg"));
const beyond = outside.filter((element) => element.getBoundingClientRect().right > innerWidth + 1);
report([innerWidth, root.scrollWidth, beyond.map((element) => element.tagName + "." + element.className)]);
"""


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_a_page_fits_its_window(width: int, tmp_path: Path) -> None:
    """Nothing but a table in its own frame is wider than the window, long words and many columns or not."""
    inner, scrolled, beyond = driven(page.render(many(statistics=True)), FITTING, tmp_path, width=width)
    assert inner == width
    assert scrolled <= width
    assert beyond == []


KEYS = """
const reachable = Array.from(document.querySelectorAll("a[href], button, select, input, summary, [tabindex]"));
const scrolling = Array.from(document.querySelectorAll(".scroll"));
const ids = Array.from(document.querySelectorAll("[id]"), (element) => element.id);
report({
  negative: reachable.filter((element) => element.tabIndex < 0).length,
  first: reachable[0].textContent,
  unnamed: scrolling.filter((e) => !document.getElementById(e.getAttribute("aria-labelledby"))).length,
  unreached: scrolling.filter((e) => e.tabIndex !== 0).length,
  broken: Array.from(document.querySelectorAll('a[href^="#"]'), (a) => a.getAttribute("href").slice(1))
    .filter((id) => !document.getElementById(id)),
  twice: ids.filter((id, place) => ids.indexOf(id) !== place),
  unlabelled: Array.from(document.querySelectorAll("select, input")).filter((e) => !e.labels.length).length,
});
"""


LONG_NAMES = """
const all = (selector) => Array.from(document.querySelectorAll(selector));
const beyond = (element) => element.scrollWidth > element.clientWidth;
report([
  all((innerWidth < 640 ? "#columns .scroll, " : "") + "h4, .figures").filter(beyond).length,
  all("#columns tbody td.number").every((element) => element.getBoundingClientRect().right <= innerWidth),
]);
"""


@pytest.mark.parametrize("width", [360, 700])
def test_a_long_name_does_not_push_the_figures_out(width: int, tmp_path: Path) -> None:
    """On a telephone all of a column is within the window, and elsewhere its figures, whatever it is called."""
    found = findings("a_name_without_any_space_" * 4, statistics=True)
    assert driven(page.render(found), LONG_NAMES, tmp_path, width=width) == [0, True]


def test_a_page_is_used_by_keyboard(tmp_path: Path) -> None:
    """All that can be used is reached by the keyboard and has a name; links lead somewhere, no name stands twice."""
    found = driven(page.render(many(statistics=True)), KEYS, tmp_path)
    assert found == {
        "negative": 0, "first": "Skip to the content", "unnamed": 0, "unreached": 0,
        "broken": [], "twice": [], "unlabelled": 0,
    }  # fmt: skip


CONTRAST = """
const light = (color) => {
  const parts = color.match(/[\\d.]+/g).map(Number).slice(0, 3).map((part) => part / 255);
  const [r, g, b] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (!/, 0\\)$|transparent/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
};
const low = [];
for (const element of document.querySelectorAll("body *:not(script):not(svg *)")) {
  const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.offsetParent) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) low.push([element.tagName, element.className, ratio.toFixed(2)].join(" "));
}
report([matchMedia("(prefers-color-scheme: dark)").matches, Array.from(new Set(low))]);
"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_texts_stand_out(scheme: str, tmp_path: Path) -> None:
    """In light and in dark every text has the contrast of 4.5 to its ground that WCAG's level AA asks for."""
    option = f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}"
    is_dark, low = driven(page.render(many(statistics=True)), CONTRAST, tmp_path, option)
    assert is_dark == (scheme == "dark")
    assert low == []


UNSCRIPTED = (
    'report([document.querySelectorAll("td.old").length, document.querySelector("form.filter").checkVisibility()]);'
)


def test_without_its_script_a_page_is_whole(tmp_path: Path) -> None:
    """Where scripts are off, the page shows all that it has, and no control that would do nothing."""
    html = re.sub("<script>.*?</script>", "", page.render(many()), flags=re.DOTALL)
    assert driven(html, UNSCRIPTED, tmp_path) == [6, False]
