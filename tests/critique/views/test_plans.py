from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from critique.formats.records import RECORD, CritiqueRecord, dump_record
from critique.models import CritiqueRun
from critique.proposing import approve
from pier_site.accounts.models import User
from runs.models import Job, Marker, Status, Trial
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.support.critics import GOOD, writes
from tests.support.critiques import make_critique, make_run
from tests.support.factories import make_member, make_trajectory

COMMAND = f"command={writes(GOOD)!r}"


def form(job: Job, **changes: Any) -> dict[str, Any]:
    """The form as it is sent when a person fills in the least."""
    critic = {"agent_1": "command", "model_1": "", "kwargs_1": 'command="true"'}
    return (
        {"job": job.pk, "which": "all", "rubric": "trial-validity@1", "n_samples": 1, "sandbox": "host"}
        | critic
        | changes
    )


def planned(pages: Client, job: Job, **changes: Any) -> CritiqueRun:
    answer = pages.post(reverse("critique-new"), form(job, **changes))
    assert answer.status_code == 302, answer.content.decode()
    run = CritiqueRun.objects.order_by("-pk")[0]
    assert answer["Location"] == run.get_absolute_url()
    return run


def names(run: CritiqueRun) -> list[str]:
    return sorted(run.config["selection"]["trial_names"])


def test_a_plan_is_made_and_nothing_is_started(
    pages: Client, owner: User, indexed: Job, started: list[list[str]]
) -> None:
    run = planned(pages, indexed)
    assert run.is_plan
    assert run.job is None
    assert run.created_by == owner
    assert (run.plan["n_critiques"], run.plan["n_sources"]) == (2, 2)
    assert str(run.rubric) == "trial-validity@1"
    assert not Path(run.directory).exists()
    assert started == []
    page = pages.get(run.get_absolute_url()).content.decode()
    for said in (
        "not approved",
        "<b>2</b> critiques",
        "<b>2</b> trials",
        "Approve and start",
        GOOD_TRIAL,
        "no isolation",
    ):
        assert said in page, said


def test_an_approved_plan_is_started_once(pages: Client, owner: User, indexed: Job, started: list[list[str]]) -> None:
    run = planned(pages, indexed)
    address = reverse("critique-approve", args=[run.pk])
    assert "are being started" in pages.post(address, follow=True).content.decode()
    answer = pages.post(address, follow=True)
    assert "was approved already" in answer.content.decode()
    [command] = started
    assert command[2:] == ["piercritique", "--plan", str(run.pk)]
    run.refresh_from_db()
    assert run.approved_at is not None
    assert run.approved_by == owner
    assert "has not begun yet" in answer.content.decode()


def test_of_two_who_approve_at_once_one_starts_it(
    pages: Client, owner: User, indexed: Job, started: list[list[str]]
) -> None:
    run = planned(pages, indexed)
    seen_before = CritiqueRun.objects.get(pk=run.pk)
    assert approve(run, owner)
    assert not approve(seen_before, make_member(indexed.project))
    assert len(started) == 1


def test_a_discarded_plan_is_gone_and_an_approved_one_stays(
    pages: Client, indexed: Job, started: list[list[str]]
) -> None:
    gone, stays = planned(pages, indexed), planned(pages, indexed)
    assert gone.name != stays.name
    pages.post(reverse("critique-discard", args=[gone.pk]))
    pages.post(reverse("critique-approve", args=[stays.pk]))
    answer = pages.post(reverse("critique-discard", args=[stays.pk]), follow=True)
    assert "was approved meanwhile" in answer.content.decode()
    assert list(CritiqueRun.objects.all()) == [stays]


def test_people_who_may_read_may_not_spend(
    client: Client, pages: Client, viewer: User, indexed: Job, started: list[list[str]]
) -> None:
    run = planned(pages, indexed)
    client.force_login(viewer)
    assert client.get(reverse("critique-new"), {"job": indexed.pk}).status_code == 403
    assert client.post(reverse("critique-new"), form(indexed)).status_code == 403
    for name in ("approve", "discard", "cancel", "again"):
        assert client.post(reverse(f"critique-{name}", args=[run.pk])).status_code == 403
    page = client.get(run.get_absolute_url()).content.decode()
    assert "An owner of the project can approve it" in page
    assert "Approve and start" not in page
    run.refresh_from_db()
    assert run.is_plan
    assert started == []


def test_trials_are_chosen_by_outcome_by_flag_and_one_by_one(pages: Client, indexed: Job) -> None:
    good, poor = Trial.objects.get(name=GOOD_TRIAL), Trial.objects.get(name=POOR_TRIAL)
    trajectory = good.trajectories.first() or make_trajectory(good)
    Marker.objects.create(trial=good, trajectory=trajectory, index=0, kind=Marker.Kind.HISTORY)
    assert names(planned(pages, indexed, which="passing")) == [GOOD_TRIAL]
    assert names(planned(pages, indexed, which="failing")) == [POOR_TRIAL]
    assert names(planned(pages, indexed, flag="history")) == [GOOD_TRIAL]
    assert names(planned(pages, indexed, which="chosen", trial=[poor.pk])) == [POOR_TRIAL]
    assert len(names(planned(pages, indexed, limit=1))) == 1
    empty = pages.post(reverse("critique-new"), form(indexed, which="failing", flag="history")).content.decode()
    assert 'role="alert"' in empty
    assert "No trial is ticked" in pages.post(reverse("critique-new"), form(indexed, which="chosen")).content.decode()


def test_trials_of_other_jobs_cannot_be_ticked(pages: Client, indexed: Job) -> None:
    other = make_critique().trial
    answer = pages.post(reverse("critique-new"), form(indexed, which="chosen", trial=[other.pk]))
    assert "No finished trial of the job is among these" in answer.content.decode()


def test_several_critics_and_samples_are_multiplied(pages: Client, indexed: Job) -> None:
    second = {"agent_2": "command", "kwargs_2": 'command="false"'}
    run = planned(pages, indexed, n_samples=2, seed=7, checks="on", summarise="on", **second)
    assert run.plan["n_critiques"] == 2 * 2 * 2 + 1
    assert run.config["checks"]["enabled"]
    assert run.config["summarise"]
    assert run.config["seed"] == 7
    assert len(run.config["critics"]) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rubric": ""}, "Choose a rubric, or write what critics are to find out."),
        ({"kwargs_1": "command"}, "give KEY=VALUE"),
        ({"kwargs_1": 'commmand="x"'}, "commmand"),
        ({"kwargs_1": 'command="a\\u0000b"'}, "NUL"),
        ({"agent_1": "evil.module:Agent"}, "is not one of the available choices"),
        ({"sandbox": "cluster"}, "is not one of the available choices"),
        ({"n_samples": 500}, "less than or equal to 20"),
        ({"which": "chosen", "trial": ["x'; drop"]}, "No trial is ticked."),
    ],
)
def test_what_cannot_be_planned_is_said_at_its_field(
    changes: dict[str, Any], said: str, pages: Client, indexed: Job
) -> None:
    answer = pages.post(reverse("critique-new"), form(indexed, **changes))
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not CritiqueRun.objects.exists()


def test_a_prompt_of_ones_own_takes_the_place_of_a_rubric(pages: Client, indexed: Job) -> None:
    run = planned(pages, indexed, rubric="", prompt="Look at {trial_dir}.")
    assert (run.rubric, run.prompt) == (None, "Look at {trial_dir}.")
    assert "Look at {trial_dir}." in pages.get(run.get_absolute_url()).content.decode()


def test_the_host_is_offered_only_where_trials_ran_on_it(pages: Client, indexed: Job) -> None:
    address = f"{reverse('critique-new')}?job={indexed.pk}"
    assert "no isolation" in pages.get(address).content.decode()
    Trial.objects.update(sandbox="docker")
    assert "no isolation" not in pages.get(address).content.decode()
    assert "is not one of the available choices" in pages.post(reverse("critique-new"), form(indexed)).content.decode()


def test_the_form_comes_with_what_was_chosen_on_the_page_before(pages: Client, indexed: Job) -> None:
    poor = Trial.objects.get(name=POOR_TRIAL)
    page = pages.get(reverse("critique-new"), {"job": indexed.pk, "trial": poor.pk}).content.decode()
    assert f'value="{poor.pk}" id="trial-{poor.pk}" checked' in page
    assert "1 ticked" in page
    page = pages.get(
        reverse("critique-new"), {"job": str(indexed.pk), "show": "failed", "flag": "history"}
    ).content.decode()
    assert '<option value="history" selected>' in page
    assert 'value="failing"' in page.partition("checked")[0].rpartition("<input")[2]


def test_a_question_about_a_critique_goes_the_same_way(pages: Client, indexed: Job, started: list[list[str]]) -> None:
    good = Trial.objects.get(name=GOOD_TRIAL)
    asked = make_critique(
        good, run=make_run(indexed, name="first"), critic={"name": GOOD_TRIAL, "agent_name": "command"}
    )
    folder = Path(indexed.directory) / ".critiques/first" / GOOD_TRIAL
    CritiqueRun.objects.update(directory=str(folder.parent))
    page = pages.get(reverse("critique-new"), {"of": str(asked.pk), "question": "Which one?"}).content.decode()
    assert "Which one?" in page
    assert "those that pass" not in page
    folder.mkdir(parents=True)
    record = CritiqueRecord(
        run_name="first", name=GOOD_TRIAL, source_dir=Path(indexed.directory), source_name=GOOD_TRIAL, outcome="valid"
    )
    (folder / RECORD).write_text(dump_record(record))
    question = {"of": asked.pk, "question": "Which one?", "rubric": ""}
    answer = pages.post(reverse("critique-new"), form(indexed, **question))
    assert answer.status_code == 302, answer.content.decode()
    run = CritiqueRun.objects.order_by("-pk")[0]
    assert (run.parent, run.question, str(run.rubric)) == (asked, "Which one?", "question@1")
    assert names(run) == [GOOD_TRIAL]
    assert started == []


def test_a_question_about_a_trial_goes_the_same_way(pages: Client, indexed: Job) -> None:
    good = Trial.objects.get(name=GOOD_TRIAL)
    page = pages.get(reverse("critique-new"), {"job": str(indexed.pk), "trial": str(good.pk), "ask": "1"})
    assert "Ask a critic" in page.content.decode()
    run = planned(pages, indexed, which="chosen", trial=[good.pk], question="Why so slow?", rubric="")
    assert (run.parent, run.question, str(run.rubric)) == (None, "Why so slow?", "question@1")
    assert names(run) == [GOOD_TRIAL]
    assert "Why so slow?" in pages.get(run.get_absolute_url()).content.decode()


def test_a_run_that_has_ended_can_go_on_and_one_at_work_can_be_cancelled(
    pages: Client, indexed: Job, started: list[list[str]]
) -> None:
    run = make_run(indexed)
    assert run.job is not None
    make_critique(Trial.objects.get(name=GOOD_TRIAL), run=run, outcome="failed", rating="", failure="It crashed.")
    page = pages.get(run.get_absolute_url()).content.decode()
    assert "Run again what failed (1)" in page
    pages.post(reverse("critique-again", args=[run.pk]))
    assert len(started) == 1
    Job.objects.filter(pk=run.job.pk).update(status=Status.RUNNING)
    page = pages.get(run.get_absolute_url()).content.decode()
    assert "Cancel the run" in page
    assert "Run again" not in page
    again = pages.post(reverse("critique-again", args=[run.pk]), follow=True).content.decode()
    assert "still at work" in again
    assert len(started) == 1
    cancelled = pages.post(reverse("critique-cancel", args=[run.pk]), follow=True).content.decode()
    assert "nothing of it is queued or running" in cancelled


def test_what_another_program_ran_cannot_go_on_here(pages: Client, indexed: Job, started: list[list[str]]) -> None:
    run = make_run(indexed)
    make_critique(Trial.objects.get(name=GOOD_TRIAL), run=run, outcome="failed", rating="", failure="It crashed.")
    Job.objects.filter(critique_run=run).update(origin="pier")
    assert "Run again" not in pages.get(run.get_absolute_url()).content.decode()
    again = pages.post(reverse("critique-again", args=[run.pk]), follow=True).content.decode()
    assert "was written by pier" in again
    assert started == []


def test_a_plan_cannot_be_run_again(pages: Client, indexed: Job, started: list[list[str]]) -> None:
    run = make_run(indexed, is_plan=True)
    assert "approve it first" in pages.post(reverse("critique-again", args=[run.pk]), follow=True).content.decode()
    assert "has not begun" in pages.post(reverse("critique-cancel", args=[run.pk]), follow=True).content.decode()
    assert started == []
