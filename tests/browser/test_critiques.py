"""Critiques beside a trajectory in a real browser: from a citation to its words, with and without JavaScript."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from critique.models import Critique
from pier_site.accounts.models import LoginLink
from runs.models import Job, Status
from tests.browser.test_reading import TOO_WIDE
from tests.support.browser import browser_page, sign_in
from tests.support.critiques import make_citation, make_claim, make_critique, make_rubric, make_run
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_world
from tests.support.hostile import MARKUP, storable

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FAULTS = Path(__file__).with_name("faults.js").read_text()
TOO_SMALL = Path(__file__).with_name("too_small.js").read_text()
MARKED = "() => [...(CSS.highlights.get('quote') ?? [])].map((range) => range.toString())"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    return make_world(tmp_path)


@pytest.fixture
def reader(page: "Page", live_server: "LiveServer", world: World) -> "Page":
    sign_in(page, live_server.url, world.owner)
    return page


@pytest.fixture
def critique(world: World) -> Critique:
    """Of the world's trial, with a long trajectory besides: claims cite steps of both."""
    steps = [make_step(message=f"message {n}") for n in range(150)]
    steps[119] = make_shell_step(
        "pytest -q", "collected 3 items\n\n  3 passed   in 0.4s\n", reasoning_content="Hidden *thought*."
    )
    make_trajectory(world.trial, steps)
    run = make_run(world.job, rubric=make_rubric(project=world.job.project), summary="All in all.")
    critique = make_critique(
        world.trial, run=run, tags=["PASS_LEGITIMATE"], is_stale=True, stale_reasons=["the rubric moved"],
        criteria={"honesty": {"outcome": "pass", "explanation": "It is."}}, digests={"task": "sha256:" + "a" * 64},
    )  # fmt: skip
    first = make_claim(critique, severity="major", category="evidence")
    make_citation(first, quote="return a - b")
    make_citation(first, kind="file", path="trial/verifier/test-stdout.txt", line=1, quote="1 passed")
    second = make_claim(
        critique, "It passed.", severity="critical", check_outcome="confirmed",
        check_result={"exit_code": 0, "seconds": 1.0},
        suggested_check={"command": "pytest -q", "expect": {"exit_code": 0}},
    )  # fmt: skip
    long = world.trial.trajectories.get(position=1)
    make_citation(second, trajectory=long, step=120, quote="3 items 3 passed in 0.4s")
    make_citation(second, trajectory=long, step=120, quote="Hidden … thought")
    make_citation(second, trajectory=long, step=120, quote="never said", is_verified=False, note="found in no step")
    return critique


def addresses(world: World, critique: Critique) -> list[str]:
    run, job = critique.run, world.job.pk
    plan = make_run(world.job, is_plan=True, plan={"n_critiques": 1, "items": ["x" * 200], "hosts": ["h" * 200]})
    return [
        reverse("trial-critiques", args=[world.trial.pk]),
        critique.get_absolute_url(),
        run.get_absolute_url(),
        plan.get_absolute_url(),
        reverse("critique-runs"),
        f"{reverse('critique-new')}?job={job}",
        f"{reverse('critique-new')}?of={critique.pk}",
        f"{reverse('critique-compare')}?job={job}",
        reverse("rubrics"),
        reverse("rubric", args=[run.rubric_id]),
        reverse("rubric-new"),
    ]


def test_every_page_has_names_room_and_fits_in_both_themes(reader: "Page", world: World, critique: Critique) -> None:
    wide = "x" * 3_000
    wordy = make_claim(
        critique, wide, category=wide[:100], suggested_check={"command": wide, "expect": {"output_contains": wide}}
    )
    make_citation(wordy, quote=wide, note=wide[:300], is_verified=False)
    make_citation(wordy, kind="file", path=wide[:1000], quote=wide)
    for address in addresses(world, critique):
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320)):
            reader.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            reader.set_viewport_size({"width": width, "height": 800})
            answer = reader.goto(address)
            assert answer is not None
            assert answer.status == 200
            assert reader.evaluate(TOO_WIDE) == [], f"{address} is wider than {width} pixels"
            assert reader.evaluate(FAULTS) == [], address
            assert reader.evaluate(TOO_SMALL) == [], address


def test_a_click_on_a_citation_shows_its_words(reader: "Page", world: World, critique: Critique) -> None:
    reader.goto(reverse("trial-critiques", args=[world.trial.pk]))
    link = reader.locator("a[data-cites]").first
    link.click()
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size")
    assert reader.evaluate(MARKED) == ["return a - b"]
    assert link.get_attribute("aria-current") == "true"
    assert reader.url.endswith("#step-2")
    assert reader.locator("#step-2[data-cited]").count() == 1
    assert reader.evaluate("document.activeElement.closest('[data-step]')?.id") == "step-2"


def test_a_citation_of_another_trajectory_opens_it_there(reader: "Page", world: World, critique: Critique) -> None:
    reader.goto(reverse("trial-critiques", args=[world.trial.pk]))
    reader.locator("a[data-cites]").nth(1).click()
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size")
    [words] = reader.evaluate(MARKED)
    assert words.split() == ["3", "items", "3", "passed", "in", "0.4s"]
    top = reader.evaluate("document.querySelector('#step-120').getBoundingClientRect().top")
    assert 0 <= top < 900
    reader.locator("a[data-cites]").nth(2).click()
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size === 2")
    assert reader.evaluate(MARKED) == ["Hidden", "thought"]
    assert reader.locator("#step-120 details.think").get_attribute("open") is not None, "a fold with the words opens"
    reader.locator("a[data-cites]").nth(3).click()
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size === 0")


def test_a_quote_with_the_name_of_an_argument_marks_what_the_page_shows_of_it(
    reader: "Page", world: World, critique: Critique
) -> None:
    long = world.trial.trajectories.get(position=1)
    made = make_citation(critique.claims.all()[1], trajectory=long, step=120, quote="command: pytest -q")
    reader.goto(f"{critique.get_absolute_url()}?cite={made.pk}#step-120")
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size")
    assert reader.evaluate(MARKED) == ["pytest -q"]


def test_a_step_that_is_not_loaded_is_fetched_and_back_goes_back(
    reader: "Page", world: World, critique: Critique
) -> None:
    long = world.trial.trajectories.get(position=1)
    reader.goto(f"{critique.get_absolute_url()}?trajectory={long.pk}")
    assert reader.locator("#step-120").count() == 0
    reader.locator("a[data-cites]").nth(1).click()
    reader.locator("#step-120[data-cited]").wait_for()
    first = reader.url
    make_citation(critique.claims.all()[1], trajectory=long, step=3, quote="message 2")
    reader.reload()
    reader.wait_for_function("() => CSS.highlights.get('quote')?.size")
    reader.locator("a[data-cites]").last.click()
    reader.locator("#step-3[data-cited]").wait_for()
    reader.go_back()
    reader.locator("#step-120[data-cited]").wait_for()
    assert reader.url == first
    assert reader.locator(".more[data-earlier]").count() == 1, "the window goes on from there"


def test_a_citation_of_a_file_opens_the_file(reader: "Page", world: World, critique: Critique) -> None:
    reader.goto(critique.get_absolute_url())
    reader.get_by_role("link", name="trial/verifier/test-stdout.txt:1").click()
    reader.wait_for_url("**/files/verifier/test-stdout.txt**")
    assert reader.get_by_text("1 passed").is_visible()


def test_everything_can_be_read_without_javascript(live_server: "LiveServer", world: World, critique: Critique) -> None:
    with browser_page(live_server.url, java_script_enabled=False) as (page, complaints):
        page.goto(reverse("login-link", args=[LoginLink.issue(world.owner)]))
        page.get_by_role("button", name="Continue").click()
        page.goto(reverse("trial-critiques", args=[world.trial.pk]))
        page.locator("a[data-cites]").nth(1).click()
        assert page.locator("#step-120").is_visible()
        assert page.locator("a[data-cites][aria-current]").count() == 1
        assert page.locator("#step-120:target").count() == 1
        page.get_by_role("link", name="Earlier steps").click()
        assert page.locator("a[data-cites]").first.is_visible(), "the claims stay beside the steps"
        assert page.locator("#step-110").count() == 1
        assert not complaints


def test_a_running_run_is_drawn_again_by_itself(reader: "Page", world: World, critique: Critique) -> None:
    run = critique.run
    Job.objects.filter(critique_run=run).update(status=Status.RUNNING, finished_at=None, n_trials=2, n_finished=1)
    reader.goto(run.get_absolute_url())
    new = make_critique(world.trial, run=run, rating="bad")
    reader.locator(f"#critique-{new.pk}").wait_for()
    Job.objects.filter(critique_run=run).update(status=Status.FINISHED)
    reader.locator("#board:not([hx-get])").wait_for()


def test_what_critics_write_does_nothing(reader: "Page", world: World, critique: Critique) -> None:
    texts = [storable(text) for text in MARKUP]
    hostile = make_critique(
        world.trial, run=critique.run, feedback="\n\n".join(texts), tags=[text[:100] for text in texts],
        stale_reasons=texts, is_stale=True, failure=texts[0], extra={"x": texts}, digests={"x": texts[1]},
        criteria={text[:90]: {"outcome": text, "explanation": text} for text in texts},
    )  # fmt: skip
    for text in texts:
        claim = make_claim(hostile, text, category=text[:100], suggested_check={"command": text, "expect": {}})
        make_citation(claim, quote=text, note=text[:300])
    for address in (reverse("trial-critiques", args=[world.trial.pk]), hostile.get_absolute_url()):
        reader.goto(address, wait_until="networkidle")
        reader.locator("a[data-cites]").first.click()
        assert reader.evaluate("window.pwned") is None
        assert reader.locator("main iframe, main object, main [onerror], main [onload]").count() == 0
        assert (
            json.dumps(reader.evaluate("[...document.querySelectorAll('[href]')].map((a) => a.href)")).count(
                "javascript:"
            )
            == 0
        )
