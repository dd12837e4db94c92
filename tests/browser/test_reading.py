"""The pages in a real browser: no console error, no request elsewhere, no script needed, no sideways scrolling."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from pier_site.accounts.models import LoginLink
from runs.models import Job, Phase, Status, Trial
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
    "trial-config",
    "trial-exception",
    "trial-outline",
    "trial-activity",
    "trial-changes",
    "trial-recording",
)


# What makes the page scroll sideways, if it does.
TOO_WIDE = """
() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("*")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 150))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Playwright's driver keeps an event loop in this thread, before which Django would refuse to write rows.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    world = make_world(tmp_path)
    wide = "x" * 3000
    steps = [make_step(message=f"{wide}\n\n| a | b |\n|---|---|\n| {wide} | {wide} |", reasoning_content=wide)]
    make_trajectory(world.trial, [*steps, make_shell_step(f"echo {wide}", f"{wide}\n" * 3)], agent_name=wide[:200])
    Trial.objects.update(model_name=wide[:200], exception_type="VeryLongNameOfAnException" * 8)
    return world


@pytest.fixture
def reader(page: "Page", live_server: "LiveServer", world: World) -> "Page":
    """A page of the owner; whatever it complains about fails the test (see the fixture `page`)."""
    sign_in(page, live_server.url, world.owner)
    return page


def addresses(world: World) -> Iterator[str]:
    yield reverse("jobs")
    yield world.job.get_absolute_url()
    yield from (reverse(tab, args=[world.trial.pk]) for tab in TABS)
    for trajectory in world.trial.trajectories.all():
        yield f"{world.trial.get_absolute_url()}?trajectory={trajectory.pk}"
        yield reverse("step", args=[world.trial.pk, trajectory.pk, 1])


def test_every_page_opens_in_both_themes_and_on_a_phone(reader: "Page", world: World) -> None:
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320)):
        reader.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        reader.set_viewport_size({"width": width, "height": 800})
        for address in addresses(world):
            answer = reader.goto(address)
            assert answer is not None
            assert answer.status == 200
            assert reader.locator("h1").count() == 1
            assert reader.evaluate(TOO_WIDE) == [], f"{address} is wider than a screen of {width} pixels"


def test_the_dark_theme_is_dark(reader: "Page") -> None:
    reader.emulate_media(color_scheme="dark")
    reader.goto("/")
    background = reader.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in background.removeprefix("rgb(").rstrip(")").split(","))
    assert max(red, green, blue) < 60


def test_a_login_link_works_on_one_click(page: "Page", live_server: "LiveServer", world: World) -> None:
    link = reverse("login-link", args=[LoginLink.issue(world.owner)])
    page.goto(f"{link}?next={world.job.get_absolute_url()}")
    page.wait_for_url(f"{live_server.url}{world.job.get_absolute_url()}")
    assert page.locator("h1").inner_text() == world.job.name


def test_from_the_jobs_to_a_step(reader: "Page", world: World) -> None:
    reader.goto("/")
    reader.get_by_role("link", name=world.job.name).click()
    reader.locator("a.cell").first.click()
    assert reader.get_by_role("heading", level=1).inner_text().startswith(world.trial.task_name)
    from playwright.sync_api import expect

    code = reader.locator("#step-2 .tool .code")
    # A step that is not in sight is not laid out, and has no inner text then.
    code.scroll_into_view_if_needed()
    expect(code).to_have_text(re.compile(r"def add\(a, b\):\s+return a - b"))
    reader.locator("#step-2 summary").click()
    assert reader.get_by_text("Look first.").is_visible()
    reader.get_by_role("link", name="Verifier", exact=True).click()
    assert reader.get_by_text("1 of 1 passed").is_visible()


def test_more_steps_come_while_scrolling(reader: "Page", world: World) -> None:
    long = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(120)])
    reader.goto(f"{world.trial.get_absolute_url()}?trajectory={long.pk}")
    assert reader.locator("[data-step]").count() == 50
    while reader.locator("[data-step]").count() < 120:
        before = reader.locator("[data-step]").count()
        reader.locator(".more").scroll_into_view_if_needed()
        reader.wait_for_function("n => document.querySelectorAll('[data-step]').length > n", arg=before)
    assert reader.locator(".end").is_visible()


def test_a_deep_link_shows_its_step_below_the_header(reader: "Page", world: World) -> None:
    long = make_trajectory(world.trial, [make_step(message=f"message {n}\n\n- a\n- b") for n in range(120)])
    reader.goto(f"{world.trial.get_absolute_url()}?trajectory={long.pk}&at=80#step-80")
    top = reader.evaluate("document.querySelector('#step-80').getBoundingClientRect().top")
    header = reader.evaluate("document.querySelector('[data-sticky]').getBoundingClientRect().bottom")
    assert header <= top < 500


def test_a_running_job_shows_new_trials_by_itself_and_stops(reader: "Page", world: World) -> None:
    Job.objects.update(status=Status.RUNNING)
    reader.goto(world.job.get_absolute_url())
    assert reader.locator("tr[id^=trial-]").count() == 1
    new = make_trial(world.job, attempt=2, status=Status.RUNNING, phase=Phase.VERIFIER, reward=None, finished_at=None)
    reader.locator(f"#trial-{new.pk}").wait_for()
    assert "verifier" in reader.locator(f"#trial-{new.pk}").inner_text()
    Trial.objects.filter(pk=new.pk).update(status=Status.FINISHED, reward=1.0, phase="")
    Job.objects.update(status=Status.FINISHED)
    reader.locator("#board:not([hx-get])").wait_for()
    assert "reward 1" in reader.locator(f"#trial-{new.pk}").inner_text()


def test_a_running_trial_shows_new_steps_and_its_end_by_itself(reader: "Page", world: World) -> None:
    trial = make_trial(world.job, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, reward=None, finished_at=None)
    reader.goto(trial.get_absolute_url())
    make_trajectory(trial, [make_step(message="I begin.")])
    reader.locator("[data-steps]").get_by_text("I begin.").wait_for()
    Trial.objects.filter(pk=trial.pk).update(status=Status.FINISHED, reward=0.0, phase="")
    reader.locator(".trial-head .badge", has_text="reward 0").wait_for()
    reader.locator(".steps .end, .steps:not(:has([hx-get]))").first.wait_for()


def test_keys_search_and_walk(reader: "Page", world: World) -> None:
    other = make_trial(world.job, task_name="zz-last")
    reader.goto("/")
    reader.keyboard.press("/")
    assert reader.evaluate("document.activeElement.name") == "q"
    reader.keyboard.type("]/")
    assert reader.locator("[data-search]").input_value() == "]/"
    reader.goto(world.trial.get_absolute_url())
    reader.keyboard.press("j")
    assert reader.evaluate("document.activeElement.closest('[data-step]')?.id") in {"step-1", "step-2"}
    reader.keyboard.press("]")
    reader.wait_for_url(f"**{other.get_absolute_url()}")


def test_everything_can_be_read_without_javascript(live_server: "LiveServer", world: World) -> None:
    long = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(120)])
    link = reverse("login-link", args=[LoginLink.issue(world.owner)])
    with browser_page(live_server.url, java_script_enabled=False) as (page, complaints):
        page.goto(link)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("link", name=world.job.name).click()
        page.locator("a.cell").first.click()
        page.goto(f"{world.trial.get_absolute_url()}?trajectory={long.pk}")
        page.get_by_role("link", name="More steps").click()
        assert page.get_by_text("message 50", exact=True).is_visible()
        page.get_by_role("button", name="Log out").click()
        assert page.get_by_role("heading", name="Log in").is_visible()
        assert not complaints


def test_hostile_text_does_nothing_in_a_browser(reader: "Page", world: World) -> None:
    bad = [
        "<img src=x onerror=alert(1)>",
        '<div hx-get="/" hx-trigger="load" hx-target="body">x</div>',
        "<script>alert(1)</script>",
        "![x](https://evil.example/pixel.png)",
        "[click](javascript:alert(1))",
        "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07",
        '"><svg onload=alert(1)>',
        "</textarea></title></pre><iframe src=https://evil.example>",
    ]
    steps = [make_step(message=text, reasoning_content=text) for text in bad]
    steps += [make_shell_step(text, text) for text in bad]
    trajectory = make_trajectory(world.trial, steps)
    Trial.objects.update(task_name=bad[0], agent_name=bad[6], model_name=bad[7], exception_type=bad[2])
    Job.objects.update(name=bad[7], agents=bad)
    for address in (
        "/",
        world.job.get_absolute_url(),
        f"{world.trial.get_absolute_url()}?trajectory={trajectory.pk}",
        reverse("step", args=[world.trial.pk, trajectory.pk, 9]),
        reverse("trial-exception", args=[world.trial.pk]),
    ):
        reader.goto(address, wait_until="networkidle")
        assert reader.locator("iframe, svg:not(.activity), [onerror], [onload]").count() == 0
        assert reader.locator("[href^='javascript:']").count() == 0
