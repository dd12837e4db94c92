"""Every address of the site, asked by four people: the URL conf itself says which there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from critique.models import Claim, Critique, CritiqueRun, Rubric
from tests.support.critiques import make_citation, make_claim, make_critique, make_rubric, make_run
from tests.support.factories import World, make_world

# Open to everybody: getting in, what pages are drawn with, and the description of the API.
PUBLIC = {"login", "login-link", "logout", "asset", "api:openapi-json", "api:api-root"}
# Open to whoever is logged in; what a stranger sees there is checked below.
LISTS = {"jobs", "keys", "critique-runs", "rubrics", "api:list_jobs", "api:list_rubrics", "api:list_critique_runs"}
# For owners of a project alone: what concerns the machine.
OWNERS = {"space"}
# For owners of the project that is named: others who may see it are told that they may not.
FORMS = {"critique-new", "rubric-new"}


def names_in(patterns: list[Any], namespace: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names_in(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else namespace)
        elif isinstance(pattern, URLPattern):
            assert pattern.name, f"{pattern} has no name: it escapes this test"
            yield namespace + pattern.name


NAMES = sorted(set(names_in(get_resolver().url_patterns)))
# Addresses that change something: only POST, and what each role may do is tested beside the page.
WRITES = {
    "job-cancel",
    "trial-cancel",
    "critique-approve",
    "critique-discard",
    "critique-cancel",
    "critique-again",
    "claim-check",
    "claim-check-stop",
}
# Whose number an address has, where it is not a trial's.
ROWS: dict[frozenset[str], Any] = {
    frozenset({"critique", "api:get_critique", "api:list_claims"}): Critique,
    frozenset(
        {
            "critique-run",
            "critique-approve",
            "critique-discard",
            "critique-cancel",
            "critique-again",
            "api:get_critique_run",
            "api:list_critiques_of_run",
        }
    ): CritiqueRun,
    frozenset({"claim", "claim-check", "claim-check-stop"}): Claim,
    frozenset({"rubric", "api:get_rubric"}): Rubric,
}
GUARDED = [name for name in NAMES if name not in PUBLIC | WRITES | FORMS]


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    world = make_world(tmp_path)
    (Path(world.job.directory) / world.trial.name / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = make_run(world.job, rubric=make_rubric(project=world.job.project))
    critique = make_critique(world.trial, run=run)
    make_citation(make_claim(critique))
    return world


def address_of(name: str, world: World) -> str:
    pattern = get_resolver()
    places = {"pk": world.trial.pk, "trajectory_pk": world.trajectory.pk, "number": 1, "path": "trial.log"}
    if name == "trial-image":
        places["path"] = "picture.png"
    if name in {"job", "job-cancel", "api:get_job", "api:list_trials"}:
        places["pk"] = world.job.pk
    if name == "api:list_steps":
        places["pk"] = world.trajectory.pk
    for names, model in ROWS.items():
        if name in names:
            places["pk"] = model.objects.values_list("pk", flat=True).get()
    for part in name.split(":")[:-1]:
        pattern = pattern.namespace_dict[part][1]
    wanted = pattern.reverse_dict.getlist(name.rsplit(":", maxsplit=1)[-1])[0][0][0][1]
    address = reverse(name, kwargs={key: places[key] for key in wanted})
    return f"{address}?job={world.job.pk}" if name in {"critique-compare", "critique-new"} else address


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_url_conf_was_walked() -> None:
    assert {"jobs", "job", "trial", "step", "trial-download", "api:list_steps"} <= set(GUARDED)


@pytest.mark.parametrize("name", GUARDED)
def test_members_of_the_project_may_read(name: str, world: World) -> None:
    for member in (world.owner,) if name in OWNERS else (world.owner, world.viewer):
        # A claim is a place on the page of its critique.
        answer = client_of(member).get(address_of(name, world), follow=name == "claim")
        assert answer.status_code == 200
        assert b"".join(answer)  # read to its end: a download is streamed


@pytest.mark.parametrize("name", sorted(OWNERS))
def test_what_concerns_the_machine_is_for_owners_alone(name: str, world: World) -> None:
    assert client_of(world.viewer).get(address_of(name, world)).status_code == 404


@pytest.mark.parametrize("name", [name for name in GUARDED if name not in LISTS])
def test_for_a_stranger_it_does_not_exist(name: str, world: World) -> None:
    assert client_of(world.stranger).get(address_of(name, world)).status_code == 404


@pytest.mark.parametrize("name", sorted(WRITES))
def test_what_changes_something_is_not_there_for_strangers_nor_for_reading(name: str, world: World) -> None:
    assert client_of(world.stranger).post(address_of(name, world)).status_code == 404
    assert client_of(world.owner).get(address_of(name, world)).status_code == 405
    assert Client().post(address_of(name, world)).status_code == 302


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_strangers_list_is_empty(name: str, world: World) -> None:
    answer = client_of(world.stranger).get(address_of(name, world))
    assert answer.status_code == 200
    assert world.job.name not in answer.content.decode()


@pytest.mark.parametrize("name", GUARDED)
def test_who_is_not_logged_in_is_sent_to_the_login_form_or_told_401(name: str, world: World) -> None:
    answer = Client().get(address_of(name, world))
    if name.startswith("api:"):
        assert answer.status_code == 401
    else:
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("name", GUARDED)
def test_reading_addresses_refuse_to_be_written_to(name: str, world: World) -> None:
    assert client_of(world.owner).post(address_of(name, world)).status_code in (403, 405)


def test_a_deactivated_member_sees_nothing(world: World) -> None:
    client = client_of(world.owner)
    type(world.owner).objects.update(is_active=False)
    assert client.get(world.job.get_absolute_url()).status_code == 302


@pytest.mark.parametrize("name", sorted(FORMS))
def test_forms_that_make_something_are_for_owners(name: str, world: World) -> None:
    address = address_of(name, world)
    assert client_of(world.owner).get(address).status_code == 200
    assert client_of(world.viewer).get(address).status_code == 403
    assert client_of(world.viewer).post(address).status_code == 403
    assert client_of(world.stranger).get(address).status_code in (403, 404)
    assert Client().get(address).status_code == 302
