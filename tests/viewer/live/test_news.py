"""What the feed says is new: each step once, a changed one again, nothing of what the reader may not see."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from runs.formats.trajectory import Step
from runs.indexing.live import LiveIndex, ThreadUpdate, forget_steps
from runs.models import Phase, Status, Trial
from tests.support.factories import World, make_trial, make_world
from viewer.live.news import STEPS_A_READ, Cursor, Event, Following, News, news_for
from viewer.narrowing import Narrowing

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def trial(world: World) -> Trial:
    return make_trial(
        world.job, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, owner="me", reward=None, finished_at=None
    )


@pytest.fixture
def agent(trial: Trial) -> LiveIndex:
    """The index of the trial's agent, with two steps written."""
    index = LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "codex", "gpt")
    write(index, {1: "one", 2: "two"})
    return index


def write(index: LiveIndex, messages: dict[int, str]) -> None:
    steps = [Step(step_id=number, source="agent", message=text) for number, text in messages.items()]
    index.write([ThreadUpdate("", steps)], {})


def from_start(trial: Trial, **changes: Any) -> Following:
    row = trial.trajectories.first()
    following = Following(trial.pk, row.pk if row else None, Cursor(0), first=0, last=10**6, only=Narrowing())
    return replace(following, **changes)


def ids(news: News) -> list[str]:
    return [event.id for event in news.events if event.name == "step"]


def names(news: News) -> list[str]:
    return [event.name for event in news.events]


def test_steps_come_once_and_those_that_grew_again(world: World, trial: Trial, agent: LiveIndex) -> None:
    news = news_for(world.owner, from_start(trial))
    assert ids(news) == ["1.0", "1.1"]
    assert names(news) == ["step", "step", "state"]
    again = news_for(world.owner, news.following)
    assert again.events == []
    write(agent, {2: "two and more", 3: "three"})
    news = news_for(world.owner, again.following)
    assert ids(news) == ["2.1", "2.2"]
    assert "two and more" in news.events[0].data
    assert 'id="step-3"' in news.events[1].data


def test_a_reader_who_comes_back_with_any_cursor_misses_nothing(world: World, trial: Trial, agent: LiveIndex) -> None:
    write(agent, {3: "three"})
    write(agent, {1: "one again", 4: "four"})
    order = ids(news_for(world.owner, from_start(trial)))
    assert order == ["1.1", "2.2", "3.0", "3.3"]
    for place, cursor in enumerate(order):
        assert ids(news_for(world.owner, from_start(trial, cursor=Cursor.parse(cursor)))) == order[place + 1 :]
    # A page says the trial's revision, all of which its steps had.
    assert ids(news_for(world.owner, from_start(trial, cursor=Cursor.parse("2")))) == ["3.0", "3.3"]


def test_much_news_comes_in_parts(world: World, trial: Trial, agent: LiveIndex) -> None:
    write(agent, {number: f"step {number}" for number in range(3, 50)})
    seen: list[str] = []
    following, is_partial, n_reads = from_start(trial), True, 0
    while is_partial:
        news = news_for(world.owner, following)
        assert len(ids(news)) <= STEPS_A_READ
        seen += ids(news)
        following, is_partial, n_reads = news.following, news.is_partial, n_reads + 1
    assert len(seen) == len(set(seen)) == 49
    assert n_reads == 3


def test_only_steps_of_the_windows_that_are_loaded_come(world: World, trial: Trial, agent: LiveIndex) -> None:
    write(agent, dict.fromkeys(range(3, 10), "x"))
    assert ids(news_for(world.owner, from_start(trial, first=3, last=5))) == ["2.3", "2.4", "2.5"]
    errors = from_start(trial, only=Narrowing("errors"))
    assert ids(news_for(world.owner, errors)) == []


def test_phases_and_the_end_are_told(world: World, trial: Trial, agent: LiveIndex) -> None:
    news = news_for(world.owner, from_start(trial))
    Trial.objects.filter(pk=trial.pk).update(phase=Phase.VERIFIER)
    output = Path(world.job.directory) / trial.name / "verifier" / "test-stdout.txt"
    output.parent.mkdir(parents=True)
    output.write_text("collected 3 items <b>")
    news = news_for(world.owner, news.following)
    assert names(news) == ["verifier", "state"]
    assert news.is_verifying
    assert "collected 3 items &lt;b&gt;" in news.events[0].data
    assert names(news_for(world.owner, news.following)) == []
    Trial.objects.filter(pk=trial.pk).update(phase="", status=Status.FINISHED, reward=1.0)
    news = news_for(world.owner, news.following)
    assert names(news) == ["state", "end"]
    assert news.is_over
    assert json.loads(news.events[0].data)["is_live"] is False


def test_the_first_step_and_a_new_execution_ask_for_the_page_anew(world: World, trial: Trial) -> None:
    waiting = from_start(trial)
    news = news_for(world.owner, waiting)
    assert names(news) == ["state"]
    index = LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "codex", "gpt")
    write(index, {1: "one"})
    assert names(news_for(world.owner, news.following)) == ["restart"]
    reading = news_for(world.owner, from_start(trial)).following
    forget_steps(trial.pk)
    assert names(news_for(world.owner, reading)) == ["restart"]


def test_a_stranger_hears_nothing(world: World, trial: Trial, agent: LiveIndex) -> None:
    with pytest.raises(Http404):
        news_for(world.stranger, from_start(trial))


@given(st.text())
def test_an_event_is_one_event_whatever_its_data_holds(data: str) -> None:
    encoded = Event("step", data, "1.2").encode().decode()
    assert encoded.count("\n\n") == 1
    assert encoded.endswith("\n\n")
    lines = encoded[:-2].split("\n")
    assert lines[:2] == ["id: 1.2", "event: step"]
    assert all(line.startswith("data: ") and "\r" not in line for line in lines[2:])


def test_a_server_without_streams_tells_what_is_new_and_ends(
    client: Client, world: World, trial: Trial, agent: LiveIndex
) -> None:
    client.force_login(world.owner)
    address = reverse("trial-feed", args=[trial.pk])
    query: dict[str, str | int] = {"trajectory": trial.trajectories.get().pk, "since": "0"}
    answer = client.get(address, query)
    body = b"".join(answer).decode()
    assert answer["Content-Type"] == "text/event-stream"
    assert (body.count("event: step"), body.count("event: state")) == (2, 1)
    assert "retry: 1000" in body
    answer = client.get(address, query, headers={"Last-Event-ID": "1.0"})
    assert b"".join(answer).decode().count("event: step") == 1
    assert client.get(address, {"since": "x"}).status_code == 400
    assert client.get(address, {"since": "1.2.3"}).status_code == 400
