"""Keys, focus, landmarks and narrow screens: what WCAG 2.2 AA asks of the pages, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from pier_site.accounts.models import LoginLink
from tests.browser.test_reading import TOO_WIDE
from tests.support.browser import browser_page, sign_in
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_trial, make_world

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TABS = (
    "trial",
    "trial-verifier",
    "trial-artifacts",
    "trial-logs",
    "trial-network",
    "trial-config",
    "trial-exception",
    "trial-outline",
    "trial-activity",
    "trial-changes",
    "trial-recording",
)

FAULTS = Path(__file__).with_name("faults.js").read_text()
FOCUS = Path(__file__).with_name("focus.js").read_text()
TOO_SMALL = Path(__file__).with_name("too_small.js").read_text()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    return make_world(tmp_path)


@pytest.fixture
def reader(page: "Page", live_server: "LiveServer", world: World) -> "Page":
    sign_in(page, live_server.url, world.owner)
    return page


def addresses(world: World) -> Iterator[str]:
    yield from (reverse("jobs"), reverse("keys"), world.job.get_absolute_url())
    yield from (reverse(tab, args=[world.trial.pk]) for tab in TABS)
    yield reverse("step", args=[world.trial.pk, world.trajectory.pk, 2])


def test_every_page_has_landmarks_names_and_room(reader: "Page", world: World) -> None:
    for address in addresses(world):
        reader.goto(address)
        assert reader.evaluate(FAULTS) == [], address
        assert reader.evaluate(TOO_SMALL) == [], address


def test_the_list_of_keys_opens_closes_and_can_be_switched_off(reader: "Page", world: World) -> None:
    reader.goto(world.trial.get_absolute_url())
    dialog = reader.locator("dialog[data-keys]")
    reader.keyboard.press("?")
    assert dialog.is_visible()
    assert dialog.get_by_text("next and previous step", exact=True).is_visible()
    reader.keyboard.press("j")
    assert reader.evaluate("document.activeElement.closest('[data-step]')") is None, "keys work under the dialog"
    dialog.get_by_role("checkbox").uncheck()
    reader.keyboard.press("Escape")
    assert not dialog.is_visible()
    reader.reload()
    for key in ("?", "j"):
        reader.keyboard.press(key)
    assert not dialog.is_visible()
    assert reader.evaluate("document.activeElement.closest('[data-step]')") is None
    reader.get_by_role("link", name="Keys", exact=True).click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Close").click()
    reader.keyboard.press("?")
    assert dialog.is_visible()


def test_the_list_of_keys_fits_a_small_screen(reader: "Page", world: World) -> None:
    reader.set_viewport_size({"width": 320, "height": 480})
    reader.goto(world.trial.get_absolute_url())
    reader.get_by_role("link", name="Keys", exact=True).click()
    assert reader.evaluate(TOO_WIDE) == []
    box = reader.locator("dialog[data-keys]").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320


def test_keys_leave_the_browsers_own_alone(reader: "Page", world: World) -> None:
    make_trial(world.job, task_name="zz-last")
    reader.goto(world.trial.get_absolute_url())
    for combination in ("Control+j", "Alt+j", "Meta+j", "Control+]"):
        reader.keyboard.press(combination)
    assert reader.evaluate("document.activeElement.closest('[data-step]')") is None
    assert reader.url.endswith(world.trial.get_absolute_url())


def test_keys_walk_from_step_to_step_and_from_error_to_error(reader: "Page", world: World) -> None:
    failing = make_shell_step("false", "boom\n" * 30)
    failing["observation"]["results"][0]["extra"] = {"is_error": True}
    steps = [make_step(message=f"message {n}\n\n" + "text\n\n" * 12) if n % 10 else failing for n in range(1, 40)]
    trajectory = make_trajectory(world.trial, steps)
    reader.goto(f"{world.trial.get_absolute_url()}?trajectory={trajectory.pk}")
    focused = "document.activeElement.closest('[data-step]')?.id"
    seen = []
    for key in ("j", "j", "j", "k", "e", "e", "E"):
        reader.keyboard.press(key)
        seen.append(reader.evaluate(focused))
    first = int(seen[0].removeprefix("step-"))
    assert first in (1, 2)
    assert seen[:4] == [f"step-{first + n}" for n in (0, 1, 2, 1)]
    assert seen[4:] == ["step-10", "step-20", "step-10"]


def test_one_key_opens_and_folds_all_reasoning(reader: "Page", world: World) -> None:
    reader.goto(world.trial.get_absolute_url())
    reasoning = reader.get_by_text("Look first.")
    for is_shown in (True, False):
        reader.keyboard.press("r")
        assert reasoning.is_visible() is is_shown


def test_the_focus_is_visible_and_not_under_the_header(reader: "Page", world: World) -> None:
    make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(40)])
    reader.goto(world.trial.get_absolute_url())
    assert reader.evaluate("document.querySelectorAll('a[href], button, summary').length") > 10
    for _ in range(30):
        reader.keyboard.press("Tab")
        shown = reader.evaluate(FOCUS)
        assert shown[0], f"no outline on {shown[2]}"
        assert not shown[1], f"under the header: {shown[2]}"


def test_the_header_shrinks_on_scroll_and_moves_nothing(reader: "Page", world: World) -> None:
    long = make_trajectory(world.trial, [make_step(message="text\n\n" * 12) for _ in range(40)])
    reader.goto(f"{world.trial.get_absolute_url()}?trajectory={long.pk}", wait_until="networkidle")
    header, facts = reader.locator("[data-sticky]"), reader.locator(".trial-head .facts")

    def measured() -> tuple[int, ...]:
        header = "document.querySelector('[data-sticky]').offsetHeight"
        found = reader.evaluate(f"[{header}, scrollY, document.querySelector('.steps').offsetTop]")
        return tuple(round(figure) for figure in found)

    whole, _, top = measured()
    topbar = reader.evaluate("document.querySelector('.topbar').offsetHeight")
    for y in (topbar + 1, topbar + 300, topbar + 1):
        reader.evaluate(f"scrollTo(0, {y})")
        facts.wait_for(state="hidden")
        assert header.get_by_role("heading").is_visible()
        assert header.get_by_role("link", name="Verifier").is_visible()
        small, *rest = measured()
        assert small < whole * 0.7
        assert rest == [y, top]
    reader.evaluate("scrollTo(0, 0)")
    facts.wait_for()
    assert measured() == (whole, 0, top)
    reader.evaluate("scrollTo(0, 600)")
    facts.wait_for(state="hidden")
    reader.emulate_media(media="print")
    assert facts.is_visible(), "paper has all of the header"
    assert reader.evaluate("getComputedStyle(document.querySelector('[data-sticky]')).marginBlockEnd") == "0px"


def test_what_a_search_found_fits_a_small_screen(reader: "Page", world: World) -> None:
    make_trajectory(world.trial, [make_step(message="needle " + "hay" * 60) for _ in range(9)])
    for width in (320, 360):
        reader.set_viewport_size({"width": width, "height": 800})
        reader.goto(f"{world.trial.get_absolute_url()}?q=needle")
        reader.locator(".found > summary").click()
        assert reader.locator(".found li").first.is_visible()
        assert reader.evaluate(TOO_WIDE) == []
        assert reader.evaluate(TOO_SMALL) == []


def test_nothing_moves_for_those_who_ask_for_that(live_server: "LiveServer", world: World) -> None:
    with browser_page(live_server.url, reduced_motion="reduce") as (page, complaints):
        sign_in(page, live_server.url, world.owner)
        page.goto(world.trial.get_absolute_url())
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        assert page.evaluate("document.getAnimations().length") == 0
        assert not complaints


def test_forced_colours_keep_the_borders(live_server: "LiveServer", world: World) -> None:
    with browser_page(live_server.url, forced_colors="active") as (page, _):
        sign_in(page, live_server.url, world.owner)
        page.goto(world.trial.get_absolute_url())
        assert page.evaluate("getComputedStyle(document.querySelector('.tool')).borderTopStyle") == "solid"


def test_the_list_of_keys_is_a_page_without_javascript(live_server: "LiveServer", world: World) -> None:
    link = reverse("login-link", args=[LoginLink.issue(world.owner)])
    with browser_page(live_server.url, java_script_enabled=False) as (page, _):
        page.goto(link)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("link", name="Keys", exact=True).click()
        assert page.get_by_role("heading", name="Keys").is_visible()
        assert not page.get_by_role("checkbox").is_visible(), "a switch that does nothing"
