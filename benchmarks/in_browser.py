"""What a reader waits for, in headless Chromium: cold loads and searches, each in a context of its own."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.long_trials import FIRST_WORDS
from tests.support.browser import ARGUMENTS, executable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RUNS = 3
PATIENCE_MS = 180_000
SETTLE_MS = 5_000
# Looks once a frame whether what is waited for is there, and notes when; a search for words stops at the first place.
NOTE_WHEN_SEEN = """
(words, id) => {
  const kind = XPathResult.FIRST_ORDERED_NODE_TYPE;
  const first = (path) => document.evaluate(path, document, null, kind, null).singleNodeValue;
  const isShown = (box) => box && box.height > 0 && box.top < innerHeight && box.bottom > 0;
  const isThere = () => (id ? isShown(document.getElementById(id)?.getBoundingClientRect())
    : document.body && first(`//body//text()[contains(., "${words}")]`));
  const look = () => {
    if (isThere()) window.seenAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}
"""
# A paint is told of a moment after it was made, maybe after the page's load.
IS_SEEN = """
() => window.seenAt !== undefined && performance.getEntriesByName("first-contentful-paint").length > 0
"""
FACTS = """
() => ({
  seen: window.seenAt,
  painted: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  nodes: document.getElementsByTagName("*").length,
  html: performance.getEntriesByType("navigation")[0].decodedBodySize,
})
"""
# The same for an answer to a search: how many steps have the words, and the first of them in sight.
NOTE_WHEN_FOUND = """
() => {
  const look = () => {
    const said = document.querySelector("[data-find] [role=status]");
    const box = document.querySelector(":target")?.getBoundingClientRect();
    const isShown = box ? box.height > 0 && box.top < innerHeight && box.bottom > 0 : !location.hash;
    if (said && isShown) window.found = [performance.timeOrigin + performance.now(), said.innerText];
    else requestAnimationFrame(look);
  };
  look();
}
"""
SEND = """
() => {
  const sentAt = performance.timeOrigin + performance.now();
  document.querySelector("[data-find]").requestSubmit();
  return sentAt;
}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One page as its reader met it; times in ms from the navigation, medians over the runs."""

    painted_ms: float
    seen_ms: float
    n_nodes: float
    html_bytes: float
    received_bytes: float
    largest_bytes: float


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser of this machine, closed afterwards."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def cold_load(
    browser: "Browser", address: str, *, step: int | None = None, state: Any = None, runs: int = RUNS
) -> Load:
    """Open `address` until the first step is on the page, or `step` is in sight. `state`: cookies to begin with."""
    return median_of([_load(browser, address, f"step-{step}" if step else "", state) for _ in range(runs)])


def median_of(loads: Sequence[Load]) -> Load:
    """Each figure's median."""
    return Load(*(statistics.median(column) for column in zip(*map(astuple, loads), strict=True)))


def search(browser: "Browser", address: str, words: str, state: Any) -> tuple[float, str]:
    """Look for `words` on a trial's page: ms from sending them to the first step that has them, and what is said."""
    with _page(browser, state, f"({NOTE_WHEN_FOUND})()") as page:
        page.goto(address, wait_until="load")
        _settle(page)
        page.locator("[data-search]").fill(words)
        sent_at = page.evaluate(SEND)
        page.wait_for_function("() => window.found")
        found_at, said = page.evaluate("window.found")
        return found_at - sent_at, said


def _load(browser: "Browser", address: str, element: str, state: Any) -> Load:
    with _page(browser, state, f"({NOTE_WHEN_SEEN})({FIRST_WORDS!r}, {element!r})") as page:
        sizes = _watch_sizes(page)
        page.goto(address, wait_until="commit")
        page.wait_for_function(IS_SEEN)
        page.wait_for_load_state("load")
        facts = page.evaluate(FACTS)
        received, largest = sum(sizes.values()), max(sizes.values(), default=0)
        _settle(page)
        return Load(facts["painted"], facts["seen"], facts["nodes"], facts["html"], received, largest)


def _settle(page: "Page") -> None:
    """Let a page have what it asks for after it is drawn: the server has nothing else to do in the next load."""
    from playwright.sync_api import TimeoutError as PatienceEnded

    with suppress(PatienceEnded):  # some pages never stop asking
        page.wait_for_load_state("networkidle", timeout=SETTLE_MS)


@contextmanager
def _page(browser: "Browser", state: Any, script: str) -> Iterator["Page"]:
    """A page of a new context that runs `script` in each document."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, storage_state=state)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(script)
    try:
        yield context.new_page()
    finally:
        context.close()


def _watch_sizes(page: "Page") -> dict[str, int]:
    """Bytes of each response's body before compression, filled while the page loads."""
    sizes: dict[str, int] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def count(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = sizes.get(event["requestId"], 0) + event["dataLength"]

    session.on("Network.dataReceived", count)
    return sizes
