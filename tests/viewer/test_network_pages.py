"""The Network tab, and the page of what takes the space."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.factories import World, make_job, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def line(host: str, verdict: str, **values: object) -> str:
    return json.dumps(
        {"time": "2026-11-20T08:00:01.5Z", "method": "CONNECT", "host": host, "port": 443}
        | values
        | {"verdict": verdict}
    )


def folder_of(world: World) -> Path:
    folder = Path(world.job.directory) / world.trial.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def page(pages: Client, world: World) -> str:
    return text_of(pages.get(reverse("trial-network", args=[world.trial.pk])))


def test_what_may_be_reached_and_what_was_asked_is_told_refused_first(pages: Client, world: World) -> None:
    folder = folder_of(world)
    policy = {"agent": {"mode": "allowlist", "allowed_hosts": ["api.openai.com"]}, "verifier": {"mode": "closed"}}
    (folder / "network.json").write_text(json.dumps(policy))
    log = [line("api.openai.com", "allowed", sent_bytes=2048)] * 3 + [line("evil.test", "refused", reason="not listed")]
    (folder / "network.jsonl").write_text("\n".join(log))
    text = page(pages, world)
    assert "agent api.openai.com" in text
    assert "verifier nothing" in text
    assert "4 requests: 3 allowed, 1 refused" in text
    assert text.index("evil.test:443") < text.index("api.openai.com:443")
    assert "not listed" in text


def test_a_hostile_log_is_read_within_bounds_and_escaped(pages: Client, world: World) -> None:
    folder = folder_of(world)
    (folder / "network.json").write_text("[" * 100_000)
    odd = ["{", "[]", "3", '{"verdict": 7}', line("<script>alert(1)</script>", "refused"), "x" * 100_000]
    (folder / "network.jsonl").write_text("\n".join(odd * 50))
    answer = pages.get(reverse("trial-network", args=[world.trial.pk]))
    assert b"<script>alert" not in answer.content
    assert "100 requests" in text_of(answer)


def test_an_endless_log_shows_its_last_requests_only(pages: Client, world: World) -> None:
    log = (line(f"host-{number}.test", "refused") for number in range(5000))
    (folder_of(world) / "network.jsonl").write_text("\n".join(log))
    answer = pages.get(reverse("trial-network", args=[world.trial.pk]))
    assert len(answer.content) < 950_000
    assert "host-4999.test" in text_of(answer)
    assert "other places" in text_of(answer)


def test_a_log_that_is_a_link_out_of_the_trial_is_not_followed(pages: Client, world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(line("secret.test", "allowed"))
    (folder_of(world) / "network.jsonl").symlink_to(tmp_path / "secret")
    assert "secret.test" not in page(pages, world)


def test_a_trial_without_a_log_says_so(pages: Client, world: World) -> None:
    assert "No request was noted" in page(pages, world)


def test_the_space_page_tells_of_the_readers_jobs_alone(pages: Client, world: World) -> None:
    (folder_of(world) / "workspace.tar.zst").write_bytes(b"x" * 100_000)
    other = make_job(name="someone-elses")
    text = text_of(pages.get(reverse("space")))
    assert world.job.name in text
    assert other.name not in text
    assert "What takes the space" in text
    assert "pierjob prune" in text
