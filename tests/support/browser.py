"""A real browser for tests: Debian's chromium through playwright, silent about itself, strict about our pages."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page, Request

    from pier_site.accounts.models import User

ARGUMENTS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 10_000
# What a browser says of a server that has died, for `expect`.
GONE = r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|Failed to fetch"


class Complaints(list[str]):
    """What a page did that no page of ours may do. A test that provokes some says so with `expect`."""

    def expect(self, pattern: str) -> None:
        """Take out those that match; there must be one."""
        expected = [text for text in self if re.search(pattern, text)]
        assert expected, f"no complaint matches {pattern!r}: {list(self)}"
        self[:] = [text for text in self if text not in expected]


def watch(page: "Page", host: str) -> Complaints:
    """Note console errors, exceptions, dialogs and requests to another host than the site's."""
    complaints = Complaints()

    def on_dialog(dialog: "Dialog") -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request: "Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob", "about"} and parts.netloc != host:
            complaints.append(f"request to another host: {request.url}")

    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("dialog", on_dialog)
    page.on("request", on_request)
    return complaints


@contextmanager
def browser_page(base_url: str, **context_options: Any) -> Iterator[tuple["Page", Complaints]]:
    """A fresh browser context whose relative addresses are the site's; closed afterwards.

    Playwright's sync driver keeps an event loop running in this thread while it is open: Django must be told so
    (DJANGO_ALLOW_ASYNC_UNSAFE), and the driver is not kept between tests.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 900}, **context_options)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        try:
            yield page, watch(page, urlsplit(base_url).netloc)
        finally:
            context.close()
            browser.close()


def executable() -> str:
    """The browser of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no chromium on PATH: make test installs it, or apt-get install chromium")


def sign_in(page: "Page", base_url: str, user: "User") -> None:
    """Give the page's context a session of that user, as the login page would."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie.value, "url": base_url}])
