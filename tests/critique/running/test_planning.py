"""Plans: what is shown before anything is spent, and that nothing is spent without."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from critique.formats.config import CritiqueRunConfig
from critique.models import Critique, CritiqueRun
from critique.proposing import propose
from critique.running.planning import plan_run
from pier_site.accounts.local import default_project, local_owner
from runs.errors import InputInvalid
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.indexing.job import index_job
from runs.models import Job, Origin, Purpose, Trial
from tests.critique.indexing.files import make_pier_critique, make_pier_run
from tests.critique.running.commands import piercritique, record
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.runs.jobs.regrades import content
from tests.support.critics import GOOD, critic, flags, prompt_file, writes

pytestmark = pytest.mark.django_db(transaction=True)


def config_of(job: Path, **said: Any) -> CritiqueRunConfig:
    """A run by a prompt on the host sandbox."""
    fields: dict[str, Any] = {
        "run_name": "one",
        "source_dir": job,
        "critiques_dir": job / ".critiques",
        "prompt": "Look at it.",
        "critics": [critic(writes(GOOD))],
        "environment": EnvironmentConfig(type="host"),
        **said,
    }
    return CritiqueRunConfig(**fields)


def test_a_plan_is_printed_and_nothing_is_written(job: Path, tmp_path: Path) -> None:
    before = content(job)
    code, out, _ = piercritique(job, "-p", prompt_file(tmp_path), *flags("true"), "--name", "one", "--dry-run")
    assert code == 0
    assert "2 critiques of 2 trials, by a prompt" in out
    assert "network: closed" in out
    assert "cost: not known" in out
    assert content(job) == before
    assert not CritiqueRun.objects.exists()


def test_without_an_approved_plan_nothing_is_spent(job: Path, tmp_path: Path) -> None:
    code, _, err = piercritique(job, "-p", prompt_file(tmp_path), *flags("true"), "--name", "one")
    assert code == 2
    assert "no approved plan, no spend" in err
    assert not (job / ".critiques").exists()


def test_a_rubric_about_something_else_is_refused_with_what_it_is_about(job: Path, task_set: Path) -> None:
    critic = flags("true")
    code, _, err = piercritique(task_set, "--rubric", "trial-validity", *critic, "--name", "one", "--dry-run")
    assert (code, err) == (2, f"trial-validity@1 is about trials: {task_set} has tasks\n")
    code, _, err = piercritique(job, "--rubric", "task-quality", *critic, "--name", "one", "--dry-run")
    assert (code, err) == (2, f"task-quality@1 is about tasks: {job} has trials\n")


def test_hosts_are_those_of_the_critics_alone(job: Path) -> None:
    critics = [
        critic("true", env={"OPENAI_BASE_URL": "https://models.example:8443/v1"}),
        critic("true", extra_allowed_hosts=["other.example"]),
    ]
    assert plan_run(config_of(job, critics=critics)).hosts == ("models.example:8443", "other.example")


def test_a_task_that_is_gone_is_refused_and_the_others_are_planned(job: Path, finished: Path, tmp_path: Path) -> None:
    for name in ("config.json", "result.json"):
        path = job / POOR_TRIAL / name
        path.write_text(path.read_text().replace(str(finished / "set/poor"), str(tmp_path / "gone")))
    plan = plan_run(config_of(job))
    assert [item.name for item in plan.items] == [GOOD_TRIAL]
    assert [(one.name, one.reason) for one in plan.refused] == [
        (POOR_TRIAL, f"its task is not at {tmp_path / 'gone'} any more")
    ]


def test_the_cost_is_that_of_earlier_critiques_else_of_sizes_at_list_prices(job: Path) -> None:
    model = AgentConfig(name="command", kwargs={"command": "true"}, model_name="openai/gpt-5")
    guess = plan_run(config_of(job, critics=[model])).cost
    assert 0 < (guess.low or 0) < (guess.usd or 0) < (guess.high or 0)
    assert "at list prices" in guess.basis
    earlier = Job.objects.create(
        project=default_project(), directory="/x", name="x", purpose=Purpose.CRITIQUE, origin=Origin.PIER_SITE,
        sorted_at=datetime.now(UTC),
    )  # fmt: skip
    for number, usd in enumerate((0.1, 0.2, 0.6)):
        Trial.objects.create(job=earlier, name=str(number), agent_name="command", model_name="gpt-5", cost_usd=usd)
    cost = plan_run(config_of(job, critics=[model])).cost
    assert (cost.usd, cost.low, cost.high) == pytest.approx((0.6, 0.2, 1.2))
    assert cost.basis == "command · gpt-5: the mean of 3 earlier critiques"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"prompt": None}, "a rubric or a prompt"),
        ({"run_name": "a/b"}, "can't be the name of a critique run"),
        ({"run_name": ".."}, "can't be the name of a critique run"),
        ({"critics": [AgentConfig(name="codx")]}, "did you mean 'codex'"),
        (
            {"critics": [critic("true", env={"KEY": "${NOWHERE_TO_BE_FOUND}"})]},
            "needed and not set: NOWHERE_TO_BE_FOUND",
        ),
        ({"prompt": None, "rubric": "trial-valdity"}, "did you mean trial-validity"),
        ({"prompt": None, "rubric": "trial-validity", "rubric_digest": "sha256:0"}, "plan it again"),
    ],
    ids=["nothing asked", "slash", "parent", "agent", "variable", "rubric", "digest"],
)
def test_what_no_critique_could_be_made_with_is_an_error(job: Path, said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputInvalid, match=complaint):
        plan_run(config_of(job, **said))


def test_an_approved_plan_of_the_database_is_run_and_another_is_not(job: Path) -> None:
    indexed = index_job(default_project(), job).job
    row = propose(config_of(job), job=indexed, by=local_owner(), rubric=None)
    with pytest.raises(SystemExit) as ended:
        call_command("piercritique", "--plan", str(row.pk))
    assert ended.value.code == 2
    assert not Path(row.directory).exists()
    CritiqueRun.objects.filter(pk=row.pk).update(approved_at=datetime.now(UTC), approved_by=local_owner())
    code, out, err = piercritique("--plan", row.pk)
    assert code == 0, out + err
    row.refresh_from_db()
    assert row.job is not None
    assert Critique.objects.filter(run=row, outcome="valid").count() == 2
    assert row.approved_by == local_owner()


def test_an_approved_plan_covers_no_trial_that_came_later(job: Path) -> None:
    plan = plan_run(config_of(job))
    approved = plan.as_json() | {"items": [GOOD_TRIAL]}
    with pytest.raises(InputInvalid, match=f"the approved plan has no {POOR_TRIAL}"):
        plan.refuse_more_than(approved)


def test_a_question_is_answered_by_the_critic_of_the_critique_that_it_is_about(job: Path, tmp_path: Path) -> None:
    look = (
        "[ -f /critique/input/critique.json ] && cp /critique/input/critique.json /logs/artifacts/critique-result.md\n"
    )
    piercritique(job, "-p", prompt_file(tmp_path), *flags(look + writes(GOOD)), "--name", "one", "-y", "--passing")
    asked = Critique.objects.get()
    piercritique("--of", asked.pk, "--question", "Are you sure?", "--name", "two", "-y")
    said = record(job / ".critiques/two")
    assert (said["parent"], said["question"]) == (f"one/{GOOD_TRIAL}", "Are you sure?")
    answer = Critique.objects.get(run__name="two")
    assert (answer.run.parent, answer.source_trial) == (asked, asked.source_trial)
    assert (job / ".critiques/two" / GOOD_TRIAL / "artifacts/critique-result.md").is_file()


def test_a_critique_of_pier_can_be_asked_about(job: Path) -> None:
    make_pier_critique(make_pier_run(job, "theirs"), GOOD_TRIAL)
    asked = ("--of", job / ".critiques/theirs" / GOOD_TRIAL, "--question", "Why?", "--name", "one")
    code, out, err = piercritique(*asked, *flags("true"), "--dry-run")
    assert code == 0, err
    assert f"1 critique of 1 trial, by question@1\n  of {GOOD_TRIAL}\n" in out
    code, _, err = piercritique(*asked, "--dry-run")
    assert (code, "name one model for it" in err) == (2, True), "nobody knows here who the critic was"
    look = f"cat /critique/input/critique.json\n{writes({**GOOD, 'claims': []})}"
    piercritique(*asked, *flags(look), "-y")
    said = record(job / ".critiques/one")
    assert (said["source_name"], said["parent"]) == (GOOD_TRIAL, f"theirs/{GOOD_TRIAL}")
    assert '"feedback"' in (job / ".critiques/one" / GOOD_TRIAL / "agent/command.txt").read_text()
