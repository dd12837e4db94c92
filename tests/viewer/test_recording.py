import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.factories import World, make_world
from viewer.recording import MAX_MOMENTS, Recording, moments_of, read_recording, screen_at

pytestmark = pytest.mark.django_db

EVENTS = [[0.1, "o", "$ "], [0.4, "i", "ls"], [0.5, "o", "ls\r\n"], [3.0, "o", "<b>\x1b[32mfile\x1b[0m\r\n"]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def write(world: World, text: str) -> str:
    (Path(world.job.directory) / world.trial.name / "agent/recording.cast").write_text(text)
    return "agent/recording.cast"


def lines(*rows: object) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def page(client: Client, world: World, query: str = "") -> str:
    client.force_login(world.owner)
    return client.get(reverse("trial-recording", args=[world.trial.pk]) + query).content.decode()


LAST = EVENTS[3][2]
SIZE = {"width": 20, "height": 5}
VERSIONS = {
    "v1": json.dumps({"version": 1, **SIZE, "stdout": [[0.1, "$ "], [0.4, "ls\r\n"], [2.5, LAST]]}),
    "v2": lines({"version": 2, **SIZE}, *EVENTS) + "[9, torn",
    "v3": lines(
        {"version": 3, "term": {"cols": 20, "rows": 5}}, [0.1, "o", "$ "], [0.4, "o", "ls\r\n"], [2.5, "o", LAST]
    ),
}


@pytest.mark.parametrize("text", VERSIONS.values(), ids=VERSIONS)
def test_every_version_is_read(world: World, text: str) -> None:
    recording = read_recording(world.trial, write(world, text))
    assert recording
    assert (recording.columns, recording.rows, recording.duration_sec) == (20, 5, 3.0)
    assert moments_of(recording) == [0.5, 3.0]
    assert screen_at(recording, 0.5) == "$ ls"
    assert screen_at(recording, 3.0) == "$ ls\n<b>\x1b[0;32mfile\x1b[0m"


@pytest.mark.parametrize("text", ["", "no json", '{"version": 9}', "[1, 2]", '{"version": 1}', '{"version": 2}\n[[[['])
def test_what_is_no_recording_is_said_to_be_none(client: Client, world: World, text: str) -> None:
    write(world, text)
    assert "holds nothing that could be shown" in page(client, world)


def test_a_long_recording_has_a_bounded_number_of_moments() -> None:
    moments = moments_of(Recording(80, 24, [(2.0 * n, "x") for n in range(5_000)]))
    assert len(moments) == MAX_MOMENTS
    assert (moments[0], moments[-1]) == (0.0, 9_998.0)


def test_the_tab_is_there_when_a_recording_is(client: Client, world: World) -> None:
    address = reverse("trial-recording", args=[world.trial.pk])
    assert "no terminal recording" in page(client, world)
    assert address not in page(client, world)
    write(world, lines({"version": 2, "width": 20, "height": 5}, *EVENTS))
    html = page(client, world, "?at=3.0")
    assert f'href="{address}"' in html
    assert '&lt;b&gt;<span class="ansi-green">file</span>' in html
    assert "at=0.50#recording" in html
    assert client.get(f"{address}?file=trial.log").status_code == 404
    assert client.get(f"{address}?at=soon").status_code == 400
