import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from critique.models import Claim, Critique, CritiqueRun
from pier_site.accounts import visibility
from pier_site.accounts.visibility import Hideable, hidden_from, hide
from tests.support.critiques import make_citation, make_claim, make_critique, make_run
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_trial, make_world
from tests.support.hostile import MARKUP


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


def beside(world: World, query: str = "") -> str:
    return f"{reverse('trial-critiques', args=[world.trial.pk])}{query}"


def text_of(pages: Client, address: str) -> str:
    answer = pages.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


class Faults(HTMLParser):
    """What only an attacker would have put into a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        is_script = tag == "script" and "src" not in given
        is_picture = tag == "img" and not given.get("src", "").startswith("/static/")
        runs = [name for name in given if name.startswith("on")]
        leads = [value for name, value in given.items() if name in ("href", "action") and ":" in value.split("?")[0]]
        odd = tag in ("iframe", "object", "embed", "base", "svg", "math", "style", "u", "i")
        if is_script or is_picture or runs or odd or any("javascript" in value or "evil" in value for value in leads):
            self.found.append(self.get_starttag_text() or tag)


def faults_of(page: str) -> list[str]:
    parser = Faults()
    parser.feed(page)
    return parser.found


def test_a_trial_without_critiques_says_how_to_get_one(pages: Client, world: World) -> None:
    page = text_of(pages, beside(world))
    assert "No critique yet" in page
    assert f"{reverse('critique-new')}?job={world.job.pk}" in page


def test_claims_are_beside_the_steps_that_they_cite(pages: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial, tags=["PASS_LEGITIMATE"]), severity="major", category="evidence")
    cited = make_citation(claim)
    make_citation(claim, quote="never said", is_verified=False, note="found in no step")
    page = text_of(pages, beside(world))
    assert f'href="?cite={cited.pk}#step-2"' in page
    assert "unverified" in page
    assert "found in no step" in page
    assert "PASS_LEGITIMATE" in page
    assert 'id="step-2"' in page
    assert "1 of 2 citations unverified" in page


def test_a_citation_opens_the_window_of_its_step_in_its_trajectory(pages: Client, world: World) -> None:
    other = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(200)])
    claim = make_claim(make_critique(world.trial))
    cited = make_citation(claim, trajectory=other, step=150, quote="message 149")
    page = text_of(pages, beside(world, f"?cite={cited.pk}"))
    assert 'id="step-150"' in page
    assert 'id="step-2"' not in page
    assert f'data-beside="{other.pk}"' in page
    assert 'aria-current="true"' in page.partition(f"cite={cited.pk}#step-150")[2][:120]
    assert f"trajectory={other.pk}&amp;after=" in page, "the way on keeps the trajectory"


def test_a_step_of_another_trajectory_says_so(pages: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial))
    inner = make_trajectory(world.trial, [make_step(message="a")], kind="subagent", task_step="two", path="x.json")
    make_citation(claim, trajectory=inner, step=1)
    make_citation(claim)
    page = text_of(pages, beside(world))
    assert ">step 1 of two sub-agent</a>" in page
    assert ">step 2</a>" in page


@pytest.mark.parametrize("query", ["?cite=abc", "?cite=²", "?page=xx", "?at=x", "?trajectory=1&before=-4"])
def test_damaged_addresses_are_told_so(query: str, pages: Client, world: World) -> None:
    query = query.replace("trajectory=1", f"trajectory={world.trajectory.pk}")
    assert pages.get(beside(world, query)).status_code == 400


def test_a_citation_of_another_trial_is_not_here(pages: Client, world: World) -> None:
    other = make_trial(world.job)
    make_trajectory(other, [make_step(message="a"), make_step(message="b")])
    cited = make_citation(make_claim(make_critique(other)))
    assert pages.get(beside(world, f"?cite={cited.pk}")).status_code == 404
    assert pages.get(beside(world, "?trajectory=999999")).status_code == 404


def test_a_step_that_is_not_there_is_no_link(pages: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial))
    make_citation(claim, step=77, quote="invented", is_verified=False)
    make_citation(claim, step=3, trajectory=None, quote="elsewhere", is_verified=False)
    page = text_of(pages, beside(world))
    assert "step 77" in page
    assert "?cite=" not in page


def test_files_and_tests_lead_to_their_pages_and_nothing_else_does(pages: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial))
    make_citation(claim, kind="file", path="trial/verifier/test-stdout.txt", line=1, quote="1 passed\nmore - dashes")
    make_citation(claim, kind="file", path="trial/../../etc/passwd", quote="root")
    make_citation(claim, kind="file", path="task/tests/test.sh", quote="pytest")
    make_citation(claim, kind="test", test="test_add", quote="")
    page = text_of(pages, beside(world))
    file = reverse("trial-file", args=[world.trial.pk, "verifier/test-stdout.txt"])
    assert f'href="{file}#:~:text=1%20passed"' in page
    assert f'href="{reverse("trial-verifier", args=[world.trial.pk])}#:~:text=test_add"' in page
    assert "trial/../../etc/passwd" in page
    assert "passwd&quot;" not in page
    assert page.count("/files/") == 1


def test_claims_are_narrowed_by_severity_by_critic_and_to_the_unverified(pages: Client, world: World) -> None:
    one = make_critique(world.trial, critic={"agent_name": "codex", "model_name": "gpt-5"})
    other = make_critique(world.trial)
    make_citation(make_claim(one, "a minor one", severity="minor"))
    make_citation(make_claim(one, "a critical one", severity="critical"), is_verified=False)
    make_claim(other, "an info", severity="info")

    def shown(query: str) -> set[str]:
        page = text_of(pages, beside(world, query))
        return {word for word in ("minor one", "critical one", "an info") if f"a {word}" in page or word in page}

    assert shown("") == {"minor one", "critical one", "an info"}
    assert shown("?severity=minor") == {"minor one", "critical one"}
    assert shown("?severity=critical") == {"critical one"}
    assert shown("?unverified=1") == {"critical one"}
    assert shown("?critic=codex+%C2%B7+gpt-5") == {"minor one", "critical one"}
    assert shown("?critic=claude-code+%C2%B7+sonnet") == {"an info"}
    assert shown("?severity=worst") == {"minor one", "critical one", "an info"}


def test_older_critiques_are_on_the_next_page(pages: Client, world: World) -> None:
    run = make_run(world.job)
    for number in range(12):
        make_claim(make_critique(world.trial, run=run), f"claim of critique {number}")
    page = text_of(pages, beside(world))
    assert "claim of critique 11" in page
    assert "claim of critique 1<" not in page
    link = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert "claim of critique 1<" in text_of(pages, beside(world, link.replace("&amp;", "&")))


def test_the_number_of_queries_does_not_grow(
    pages: Client, world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run(world.job)

    def add() -> None:
        critique = make_critique(world.trial, run=run, tags=["A", "B"])
        for _ in range(3):
            claim = make_claim(critique)
            make_citation(claim)
            make_citation(claim)

    add()
    pages.get(beside(world))
    with CaptureQueriesContext(
        connection,
    ) as few:
        pages.get(beside(world))
    for _ in range(6):
        add()
    with django_assert_num_queries(len(few)):
        pages.get(beside(world))
    first = Critique.objects.order_by("pk")[0]
    with CaptureQueriesContext(connection) as one:
        pages.get(first.get_absolute_url())
    assert len(one) < 30


def test_a_page_full_of_hostile_text_stays_small_and_runs_nothing(pages: Client, world: World) -> None:
    run = make_run(world.job)
    for _ in range(3):
        critique = make_critique(world.trial, run=run, feedback="<script>alert(1)</script>" * 2_000, tags=['"><b>'])
        for _ in range(30):
            claim = make_claim(critique, '"' * 20_000, category="<i>", severity="major")
            for _ in range(6):
                make_citation(claim, quote='"&<' * 6_000, is_verified=False, note="<u>" * 100)
    page = text_of(pages, beside(world))
    assert len(page) < 1_000_000
    assert "more claims on its page" in page
    assert faults_of(page) == []
    alone = text_of(pages, Critique.objects.order_by("-pk")[0].get_absolute_url())
    assert len(alone) < 1_000_000
    assert "More claims" in alone


@pytest.mark.parametrize("text", MARKUP)
def test_what_critics_write_is_only_text(text: str, pages: Client, world: World) -> None:
    run = make_run(world.job, question=text, summary=text)
    critique = make_critique(
        world.trial, run=run, feedback=text, failure=text, tags=[text[:100]], stale_reasons=[text], is_stale=True,
        criteria={text[:100]: {"outcome": text, "explanation": text}}, digests={text: text}, extra={text: text},
    )  # fmt: skip
    claim = make_claim(
        critique, text, category=text[:100], suggested_check={"command": text, "expect": {"output_contains": text}}
    )
    make_citation(claim, quote=text, note=text[:300], is_verified=False)
    make_citation(claim, kind="file", path=text[:1000], quote=text)
    for address in (beside(world), critique.get_absolute_url(), run.get_absolute_url()):
        assert faults_of(text_of(pages, address)) == []


def test_a_critique_shows_all_that_is_known_of_it(pages: Client, world: World) -> None:
    critique = make_critique(
        world.trial, confidence=0.8, is_stale=True, stale_reasons=["the task's files changed"],
        criteria={"reward_hacking": {"outcome": "pass", "explanation": "Nothing *odd*."}},
        digests={"task": "sha256:aaaa", "model": "sonnet"}, extra={"trial_outcome": "pass"},
    )  # fmt: skip
    make_citation(make_claim(critique, "It reads first."))
    page = text_of(pages, critique.get_absolute_url())
    for said in (
        "the task&#x27;s files changed",
        "reward hacking",
        "<em>odd</em>",
        "sha256:aaaa",
        "80 %",
        "trial_outcome",
    ):
        assert said in page or said.replace(" ", "_") in page, said
    assert critique.trial.get_absolute_url() in page
    assert 'id="claim-1"' in page
    assert "It <strong>works</strong>." in page


def test_an_invalid_answer_is_shown_with_what_was_wrong(pages: Client, world: World) -> None:
    critique = make_critique(
        world.trial, outcome="invalid", rating="", feedback="", failure="The output broke the contract twice."
    )
    folder = Path(critique.trial.job.directory) / critique.trial.name
    folder.mkdir(parents=True)
    record = {
        "run_name": "r", "name": "n", "source_dir": "/x", "source_name": "s", "outcome": "invalid",
        "problems": ["claims[2].citations[0]: step must be 1 or more"], "partial": {"rating": "good"},
    }  # fmt: skip
    (folder / "critique.json").write_text(json.dumps(record))
    page = text_of(pages, critique.get_absolute_url())
    assert "The output broke the contract twice." in page
    assert "step must be 1 or more" in page
    assert "&quot;rating&quot;: &quot;good&quot;" in page
    (folder / "critique.json").write_text("{torn")
    assert "broke the contract" in text_of(pages, critique.get_absolute_url())


def test_a_link_to_a_claim_far_down_shows_it(pages: Client, world: World) -> None:
    critique = make_critique(world.trial)
    Claim.objects.bulk_create(Claim(critique=critique, position=n, text=f"claim no {n}.") for n in range(1, 191))
    Critique.objects.update(n_claims=190)
    page = text_of(pages, f"{critique.get_absolute_url()}?claim=185")
    assert 'id="claim-185"' in page
    assert "claim no 184." not in page
    assert "claim no 190." in page
    near = text_of(pages, f"{critique.get_absolute_url()}?claim=50")
    assert "claim no 1." in near
    assert "claim no 50." in near
    first = text_of(pages, critique.get_absolute_url())
    assert "claim no 100." in first
    assert "after_claim=100" in first


def test_a_link_to_a_claim_opens_the_step_that_it_cites(pages: Client, world: World) -> None:
    long = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(200)])
    critique = make_critique(world.trial)
    claim = make_claim(critique)
    make_citation(claim, trajectory=long, step=9, is_verified=False)
    cited = make_citation(claim, trajectory=long, step=150, quote="message 149")
    page = text_of(pages, f"{critique.get_absolute_url()}?claim=1")
    assert 'id="step-150"' in page
    assert 'aria-current="true"' in page.partition(f"cite={cited.pk}#step-150")[2][:120]
    other = text_of(pages, f"{critique.get_absolute_url()}?claim=1&trajectory={world.trajectory.pk}")
    assert 'id="step-150"' not in other


def test_answers_are_under_what_was_asked_about(pages: Client, world: World) -> None:
    critique = make_critique(world.trial, feedback="The first word.")
    answer = make_critique(
        world.trial,
        run=make_run(world.job, parent=critique, question="Which command?"),
        feedback="It was `cp`.",
        rating="",
    )
    make_critique(
        world.trial, run=make_run(world.job, parent=answer, question="And then?"), feedback="Nothing.", rating=""
    )
    page = text_of(pages, beside(world))
    assert page.count('<article class="critique"') == 1
    assert "Which command?" in page
    alone = text_of(pages, critique.get_absolute_url())
    for said in ("Which command?", "<code>cp</code>", "And then?", "Nothing."):
        assert said in alone
    asked = text_of(pages, answer.get_absolute_url())
    assert critique.get_absolute_url() in asked


def test_a_hidden_critique_is_nowhere(pages: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    critique = make_critique(world.trial, feedback="A secret verdict.")
    cited = make_citation(make_claim(critique, "A secret claim."))
    monkeypatch.setattr(visibility, "_rules", {})
    hide(Hideable.CRITIQUE, lambda reader: Q(run__project__isnull=False) if reader == world.owner else Q(pk__in=[]))
    assert hidden_from(world.owner, Hideable.CRITIQUE)
    assert "secret" not in text_of(pages, beside(world))
    assert pages.get(critique.get_absolute_url()).status_code == 404
    assert pages.get(beside(world, f"?cite={cited.pk}")).status_code == 404
    assert "1 good" not in text_of(pages, reverse("critique-runs"))
    assert pages.get(f"/api/critiques/{critique.pk}").status_code == 404
    CritiqueRun.objects.update(summary="A secret summary.")
    for address in (critique.run.get_absolute_url(), f"/api/critique-runs/{critique.run_id}"):
        assert "secret" not in text_of(pages, address)
    pages.force_login(world.viewer)
    assert "secret" in text_of(pages, beside(world))


def test_only_owners_are_offered_what_spends(client: Client, world: World) -> None:
    claim = make_claim(make_critique(world.trial), suggested_check={"command": "pytest", "expect": {"exit_code": 0}})
    client.force_login(world.viewer)
    page = text_of(client, beside(world))
    assert "critiques/new" not in page
    assert reverse("claim-check", args=[claim.pk]) not in page
    assert "critiques/new" not in text_of(client, claim.critique.get_absolute_url())
    assert client.post(reverse("claim-check", args=[claim.pk])).status_code == 403
    client.force_login(world.owner)
    assert reverse("claim-check", args=[claim.pk]) in text_of(client, beside(world))


def test_a_critics_own_trial_leads_to_what_it_said(pages: Client, world: World) -> None:
    critique = make_critique(world.trial)
    page = text_of(pages, reverse("trial-critiques", args=[critique.trial_id]))
    assert critique.get_absolute_url() in page
    assert "critiques/new" not in page
    page = text_of(pages, critique.trial.get_absolute_url())
    assert f'<a href="{critique.get_absolute_url()}">what this critic says</a>' in page
    assert "no reward" not in page
    assert "what this critic says" not in text_of(pages, world.trial.get_absolute_url())


def test_the_steps_of_a_shell_are_there_with_their_output(pages: Client, world: World) -> None:
    make_critique(world.trial)
    trajectory = make_trajectory(world.trial, [make_shell_step("ls", "calculator.py")])
    assert "calculator.py" in text_of(pages, beside(world, f"?trajectory={trajectory.pk}"))


def test_a_critique_whose_task_has_changed_since_is_stale_when_it_is_shown(
    pages: Client, world: World, tmp_path: Path
) -> None:
    gone = {"task": "sha256:1", "task_path": str(tmp_path / "gone")}
    for address in (beside(world), ""):
        critique = make_critique(world.trial, digests=gone)
        page = text_of(pages, address or critique.get_absolute_url())
        assert "the task&#x27;s directory is no longer there" in page
        critique.refresh_from_db()
        assert critique.is_stale


def test_only_what_is_about_a_trial_can_be_asked_about_here(pages: Client, world: World) -> None:
    critique = make_critique(world.trial)
    assert "Ask the critic" in text_of(pages, critique.get_absolute_url())
    whole = make_critique(world.trial, run=critique.run, source_trial=None, critic={"name": "run-summary"})
    page = text_of(pages, whole.get_absolute_url())
    assert "Ask the critic" not in page
    assert "sums up the run" in page
