import shutil
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from critique.models import Claim
from tests.support.critiques import make_claim, make_critique
from tests.support.factories import World, make_world

CHECK = {"command": "pytest -q", "expect": {"exit_code": 0, "output_contains": "passed"}}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


@pytest.fixture
def claim(world: World) -> Claim:
    return make_claim(make_critique(world.trial), suggested_check=CHECK)


def said(pages: Client, name: str, claim: Claim) -> str:
    return pages.post(reverse(name, args=[claim.pk]), follow=True).content.decode()


def test_a_claim_is_a_place_on_the_page_of_its_critique(pages: Client, claim: Claim) -> None:
    answer = pages.get(reverse("claim", args=[claim.pk]))
    assert answer["Location"] == f"{claim.critique.get_absolute_url()}?claim=1#claim-1"


def test_a_check_is_queued_followed_and_taken_back(pages: Client, claim: Claim, started: list[list[str]]) -> None:
    assert "being run in a fresh sandbox" in said(pages, "claim-check", claim)
    [command] = started
    assert command[2:4] == ["piercritique", "--check"]
    assert "being run already" in said(pages, "claim-check", claim)
    assert len(started) == 1
    fragment = pages.get(reverse("claim", args=[claim.pk]), headers=HTMX).content.decode()
    assert fragment.strip().startswith("<details")
    assert 'hx-trigger="every 2s"' in fragment
    assert "queued" in fragment
    assert "Stop it" in fragment
    assert "being stopped" in said(pages, "claim-check-stop", claim)
    claim.refresh_from_db()
    assert claim.check_outcome == ""
    assert "not under way" in said(pages, "claim-check-stop", claim)


def test_what_a_check_came_to_is_shown(pages: Client, claim: Claim) -> None:
    result = {"exit_code": 1, "seconds": 2.5, "reason": "it ended with 1", "tail": "\x1b[31m1 failed\x1b[0m <b>"}
    Claim.objects.update(check_outcome="refuted", check_result=result)
    fragment = pages.get(reverse("claim", args=[claim.pk]), headers=HTMX).content.decode()
    for words in ("refuted", "exit code 1", "2.5 s", "it ended with 1", "1 failed", "&lt;b&gt;", "Run it again"):
        assert words in fragment, words
    assert "hx-trigger" not in fragment


def test_a_check_whose_trial_is_gone_says_so(
    pages: Client, world: World, claim: Claim, started: list[list[str]]
) -> None:
    shutil.rmtree(Path(world.job.directory) / world.trial.name)
    assert "its directory is not there" in said(pages, "claim-check", claim)
    assert started == []


def test_a_claim_without_a_check_has_none_to_run(pages: Client, world: World, started: list[list[str]]) -> None:
    claim = make_claim(make_critique(world.trial))
    assert "suggested no check" in said(pages, "claim-check", claim)
    assert started == []


@pytest.mark.parametrize("check", ["text", {"command": 7}, {"command": "x", "expect": "y"}, {"expect": {}}, [1]])
def test_odd_checks_break_no_page(check: object, pages: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial), suggested_check=check, check_result=[], check_outcome="refuted")
    assert pages.get(claim.critique.get_absolute_url()).status_code == 200
    assert pages.get(reverse("claim", args=[claim.pk]), headers=HTMX).status_code == 200
