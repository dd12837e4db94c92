"""Ways through a long trajectory in a browser: links to any step, search among all of them, what is left out."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runs.models import Trajectory
from tests.support.browser import sign_in
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_world

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: "Page", live_server: "LiveServer") -> Trajectory:
    """A trajectory of 300 steps, with a reader of it signed in."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    world: World = make_world(tmp_path)
    sign_in(page, live_server.url, world.owner)
    steps = [make_step(message=f"message {n}\n\n- a\n- b", reasoning_content="thought") for n in range(300)]
    steps[219] = make_shell_step("grep -r x", "here is the Needle\n", reasoning_content="thought")
    steps[249] = make_shell_step("ls", "no such needle", reasoning_content="a needle, folded")
    return make_trajectory(world.trial, steps)


def address(long: Trajectory, rest: str = "") -> str:
    return f"{long.trial.get_absolute_url()}?trajectory={long.pk}{rest}"


def test_a_bare_link_to_a_step_leads_to_its_window(page: "Page", long: Trajectory) -> None:
    page.goto(address(long, "#step-234"))
    page.locator("#step-234").wait_for()
    assert page.locator("#step-234").is_visible()
    # The same from a link on the page, and to a step that there is none of.
    page.evaluate("location.hash = '#step-20'")
    page.locator("#step-20").wait_for()
    page.evaluate("location.hash = '#step-9999'")
    page.locator("#step-20").wait_for()


def test_going_to_a_step_by_its_number(page: "Page", long: Trajectory) -> None:
    page.goto(address(long))
    page.keyboard.press("g")
    page.keyboard.type("181")
    page.keyboard.press("Enter")
    page.wait_for_url("**#step-181")
    top = page.evaluate("document.querySelector('#step-181').getBoundingClientRect().top")
    assert page.evaluate("document.querySelector('[data-sticky]').getBoundingClientRect().bottom") <= top < 500


def test_earlier_steps_come_in_above_without_moving_what_is_read(page: "Page", long: Trajectory) -> None:
    page.goto(address(long, "&at=200#step-200"))
    page.get_by_role("link", name="Earlier steps").click()
    page.locator("#step-150").wait_for(state="attached")
    numbers = page.evaluate("[...document.querySelectorAll('[data-step]')].map(step => Number(step.id.slice(5)))")
    assert numbers == sorted(set(numbers))
    assert {150, 196, 197, 200} <= set(numbers)


def test_search_finds_marks_and_walks_through_all_steps(page: "Page", long: Trajectory) -> None:
    page.goto(address(long, "&at=230#step-230"))
    page.keyboard.press("/")
    page.keyboard.type("needle")
    page.keyboard.press("Enter")
    page.wait_for_url("**#step-250")  # the next one after the step in view
    assert "2 of 2" in page.locator("[data-find]").inner_text()
    page.wait_for_function("() => CSS.highlights.get('found')?.size >= 2")
    assert page.locator("#step-250 details").first.get_attribute("open") is not None
    page.keyboard.press("n")
    page.wait_for_url("**#step-220")
    page.get_by_text("Steps that have it").click()
    page.get_by_role("link", name="here is the Needle").click()
    assert page.locator("#step-220").is_visible()


def test_parts_that_are_hidden_are_not_seen(page: "Page", long: Trajectory) -> None:
    page.goto(address(long, "&at=220"))
    assert page.get_by_text("here is the Needle").is_visible()
    page.get_by_role("link", name="Hide tool output").click()
    page.goto(f"{page.url}&at=220")
    assert page.get_by_text("here is the Needle").is_hidden()
    assert page.locator("#step-220 .think").is_visible()
    page.goto(address(long, "&hide=reasoning&at=220"))
    assert page.locator("#step-220 .think").is_hidden()


def test_on_a_phone_the_search_field_can_be_used(page: "Page", long: Trajectory) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(address(long, "&q=needle&at=220#step-220"))
    box = page.locator("[data-search]").bounding_box()
    assert box
    assert box["width"] > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
