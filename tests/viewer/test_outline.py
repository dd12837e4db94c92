import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from runs.models import Marker, Phase, Status, Step, Trajectory, Trial
from tests.support.factories import START, World, make_shell_step, make_step, make_trajectory, make_world
from viewer.outline import MAX_ROWS, OutlineStep, Row, by_step, counts_of, outline_of, rows_of_kind, whole_outline

HTMX = {"HX-Request": "true"}
Kind = Marker.Kind


def steps(n_steps: int) -> list[OutlineStep]:
    return [OutlineStep(n, "user" if n == 0 else "agent", f"step {n}") for n in range(n_steps)]


def marker(index: int, kind: Kind, label: str = "", tone: str = "") -> Marker:
    return Marker(index=index, kind=kind, label=label, tone=tone)


def shown(rows: Sequence[object]) -> list[str]:
    return [f"{row.first}-{row.last} {row.label}" for row in rows]  # type: ignore[attr-defined]


def test_what_matters_has_a_row_and_the_rest_is_grouped() -> None:
    markers = by_step([marker(3, Kind.EDIT, "a.py"), marker(8, Kind.SUBMIT)])
    assert shown(outline_of(steps(9), markers)) == [
        "1-1 Task",
        "2-3 2 steps",
        "4-4 step 3",
        "5-8 4 steps",
        "9-9 step 8",
    ]


def test_reads_are_not_in_an_outline_and_the_most_telling_marker_comes_first() -> None:
    markers = by_step([marker(1, Kind.EDIT), marker(1, Kind.READ), marker(1, Kind.TEST, "2 passed", "good")])
    assert [str(found.kind) for found in markers[1]] == ["test", "edit"]
    assert by_step([marker(1, Kind.READ)]) == {}


@pytest.mark.parametrize("n_steps", [500, 2_000, 10_000])
def test_a_long_outline_has_few_rows_that_open(n_steps: int) -> None:
    markers = by_step(
        found
        for n in range(1, n_steps, 2)
        for found in (marker(n, Kind.EDIT, "a.py"), marker(n, Kind.TEST, f"{n} passed", "good"))
    )
    rows = outline_of(steps(n_steps), markers)
    assert len(rows) <= MAX_ROWS
    assert all(row.opens for row in rows)
    assert (rows[0].first, rows[-1].last) == (1, n_steps)
    length = rows[0].last
    assert [mark.label for mark in rows[0].marks] == [
        f"{length - 1} passed ({length // 2} runs)",
        f"edit ×{length // 2}",
    ]
    # What it opens into is an outline of its own steps.
    assert len(outline_of(steps(n_steps)[:100], markers)) <= MAX_ROWS


def test_steps_of_one_kind_are_counted_and_listed() -> None:
    markers = by_step([marker(2, Kind.ERROR, "boom", "bad"), marker(5, Kind.ERROR), marker(5, Kind.EDIT)])
    assert [(found.kind, found.count) for found in counts_of(markers)] == [("error", 2), ("edit", 1)]
    rows = rows_of_kind(steps(9), markers, "error")
    assert [(row.first, [str(mark.kind) for mark in row.marks]) for row in rows] == [(3, ["error"]), (6, ["error"])]


@pytest.mark.parametrize("url", ["//evil.example", "https://evil.example", "javascript:alert(1)"])
def test_a_marker_never_leads_out_of_the_site(url: str) -> None:
    found = marker(1, Kind.CLAIM, "x")
    found.url = url
    (row,) = outline_of(steps(2)[1:], by_step([found]))
    assert row.marks[0].url == ""


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


def mark(trajectory: Trajectory, index: int, kind: Kind, label: str, tone: str = "", **counts: int) -> None:
    Marker.objects.create(
        trial=trajectory.trial, trajectory=trajectory, index=index, kind=kind, label=label, tone=tone, **counts
    )


def test_the_outline_is_a_page_and_a_fragment(pages: Client, world: World) -> None:
    mark(world.trajectory, 1, Kind.ERROR, "<b>boom</b>\u202e", "bad")
    address = reverse("trial-outline", args=[world.trial.pk])
    page, part = pages.get(address).content.decode(), pages.get(address, headers=HTMX).content.decode()
    assert "<html" in page
    assert "<html" not in part
    assert "&lt;b&gt;boom&lt;/b&gt;«U+202E»" in part
    assert f"?trajectory={world.trajectory.pk}&amp;at=2#step-2" in part
    assert 'aria-current="true">error <b>1</b>' in pages.get(f"{address}?only=error", headers=HTMX).content.decode()
    mark(world.trajectory, 2, Kind.EDIT, "a.py")
    then = reverse("trial-worktree", args=[world.trial.pk, world.trajectory.pk, 3])
    assert f'href="{then}"' in pages.get(address, headers=HTMX).content.decode()
    assert pages.get(f"{address}?only=nonsense").status_code == 404
    assert pages.get(f"{address}?from=2&to=x").status_code == 400


def test_the_panels_take_a_fixed_number_of_queries_and_little_space(
    pages: Client, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    long = make_trajectory(world.trial, [make_shell_step(f"echo {n}", "x") for n in range(1500)])
    for n in range(1500):
        mark(long, n, Kind.TEST, f"{n} passed", "good", n_passed=n, n_failed=1)
    for name in ("trial-outline", "trial-activity"):
        with django_assert_max_num_queries(7):
            answer = pages.get(f"{reverse(name, args=[world.trial.pk])}?trajectory={long.pk}", headers=HTMX)
        assert answer.status_code == 200
        assert len(answer.content) < 100_000


def test_the_trajectory_asks_for_both_panels_and_links_to_them_without_a_script(pages: Client, world: World) -> None:
    html = pages.get(world.trial.get_absolute_url()).content.decode()
    for name in ("trial-outline", "trial-activity"):
        address = f"{reverse(name, args=[world.trial.pk])}?trajectory={world.trajectory.pk}"
        assert f'hx-get="{address}"' in html
        assert f'href="{address}"' in html


def test_the_activity_draws_times_tokens_and_tests(pages: Client, world: World) -> None:
    trajectory = make_trajectory(
        world.trial, [make_step(source="user", message="Go."), *[make_shell_step("pytest", "1 passed")] * 3]
    )
    mark(trajectory, 1, Kind.TEST, "1 passed, 1 failed", "bad", n_passed=1, n_failed=1)
    mark(trajectory, 3, Kind.TEST, "2 passed", "good", n_passed=2, n_failed=0)
    address = f"{reverse('trial-activity', args=[world.trial.pk])}?trajectory={trajectory.pk}"
    for axis in ("clock", "steps"):
        html = pages.get(f"{address}&axis={axis}", headers=HTMX).content.decode()
        assert 'data-line="tests" d="M' in html
        assert "<b>2 of 2</b>" in html
        assert "at=4#step-4" in html
        assert "style=" not in html


def test_open_groups_stay_open_though_they_have_grown(pages: Client, world: World) -> None:
    markers = by_step([marker(n, Kind.EDIT, f"{n}.py") for n in range(0, 400, 2)])
    rows = outline_of(steps(400), markers, [(101,), (399,)])
    assert [(row.first, row.last, len(row.rows)) for row in rows if row.is_open] == [(101, 110, 10), (391, 400, 10)]
    nested = outline_of(steps(20_000), by_step([marker(n, Kind.EDIT) for n in range(20_000)]), [(501, 521)])
    (outer,) = [row for row in nested if row.is_open]
    (inner,) = [row for row in outer.rows if row.is_open]
    assert (outer.first, inner.first, inner.rows[0].first) == (501, 521, 521)


def test_a_whole_outline_has_every_step_once() -> None:
    markers = by_step([marker(n, Kind.EDIT) for n in range(3_000)])

    def leaves(rows: Sequence[Row]) -> Iterator[int]:
        for row in rows:
            yield from leaves(row.rows) if row.rows else range(row.first, row.last + 1)

    assert list(leaves(whole_outline(steps(3_000), markers))) == list(range(1, 3_001))


def test_a_running_trials_panels_ask_again_and_a_finished_ones_do_not(pages: Client, world: World) -> None:
    for n in range(0, 300, 2):
        mark(long_one(world), n, Kind.EDIT, f"{n}.py")
    names = ("trial-outline", "trial-activity", "trial-trajectories")
    Trial.objects.update(status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, finished_at=None)
    for name in names:
        address = f"{reverse(name, args=[world.trial.pk])}?trajectory={long_one(world).pk}"
        part = pages.get(f"{address}&only=edit&axis=steps&open=101&open=7.x", headers=HTMX)
        assert part.status_code == (400 if name == "trial-outline" else 200)
        html = pages.get(f"{address}&axis=steps&open=101", headers=HTMX).content.decode()
        assert f'hx-get="{address}' in html
        assert "pier-changed from:document throttle:1s" in html
        assert "every " not in html
        assert html.count("<details open") == (name == "trial-outline")
    assert "axis=steps" in str(re.findall(r'data-live hx-get="([^"]+)"', html_of(pages, world, "trial-activity")))
    Trial.objects.update(status=Status.FINISHED)
    for name in names:
        assert "pier-changed" not in html_of(pages, world, name)


def long_one(world: World) -> Trajectory:
    """A trajectory of 300 steps, made once."""
    found = world.trial.trajectories.filter(n_steps=300).first()
    return found or make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(300)])


def html_of(pages: Client, world: World, name: str) -> str:
    address = f"{reverse(name, args=[world.trial.pk])}?trajectory={long_one(world).pk}&axis=steps"
    return pages.get(address, headers=HTMX).content.decode()


def make_subagent(world: World, name: str, begin_sec: int, took_sec: int, **columns: Any) -> Trajectory:
    times = [(START + timedelta(seconds=begin_sec + took_sec * n)).isoformat() for n in (0, 1)]
    steps = [make_step(source="user", message="Look.", timestamp=times[0]), make_step(message="x", timestamp=times[1])]
    return make_trajectory(world.trial, steps, kind="subagent", agent_name=name, **columns)


def test_the_sub_agents_that_took_the_longest_have_lanes_that_lead_to_their_steps(
    pages: Client, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    parent = make_trajectory(world.trial, [make_step(message="a"), *[make_shell_step("x", "y")] * 60])
    for n in range(20):
        make_subagent(world, f"helper-{n}<b>", n, took_sec=20 - n, parent=parent)
    stranger = make_subagent(world, "of-another", 0, took_sec=90, parent=world.trajectory)
    address = f"{reverse('trial-activity', args=[world.trial.pk])}?trajectory={parent.pk}"
    child = world.trial.trajectories.get(agent_name="helper-3<b>")
    for axis in ("clock", "steps"):
        with django_assert_max_num_queries(9):
            html = pages.get(f"{address}&axis={axis}", headers=HTMX).content.decode()
        assert re.findall(r">↳ (\S+) <", html) == [f"helper-{n}&lt;b&gt;" for n in range(8)]
        assert "and 12 more sub-agents" in html
        assert f"?trajectory={child.pk}&amp;at=2#step-2" in html
        assert f"?trajectory={stranger.pk}&" not in html
        assert len(html) < 100_000
    Step.objects.update(at=None)
    html = pages.get(address, headers=HTMX).content.decode()
    assert "20 sub-agents cannot be placed" in html
    alone = pages.get(f"{reverse('trial-activity', args=[world.trial.pk])}?trajectory={child.pk}", headers=HTMX)
    assert "data-lane" not in alone.content.decode()
