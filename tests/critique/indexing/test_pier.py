"""Directories of `pier critique run` to rows."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from critique.models import Citation, Critique, CritiqueRun, Outcome
from pier_site.accounts.models import Project
from runs.indexing.job import index_job
from runs.indexing.scan import CRITIQUES
from runs.indexing.watch import Watcher
from runs.models import Cause, Job, Marker, Origin, Purpose, Status, Trial
from tests.critique.indexing.files import (
    SOURCE,
    citation,
    claim,
    make_pier_critique,
    make_pier_run,
    make_source,
    result,
)
from tests.runs.indexing.files import step, trajectory, write

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "pier-critique"


def critic() -> Trial:
    return Trial.objects.get(job__purpose=Purpose.CRITIQUE)


def test_a_run_of_pier_is_indexed_with_its_critics_trajectory(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_pier_critique(make_pier_run(job))
    assert index_job(project, job).problems == ()
    row = Critique.objects.select_related("run", "trial__job").get()
    assert (row.outcome, row.rating, row.feedback, row.failure) == (Outcome.VALID, "good", "Fine.", "")
    assert list(row.tags.values_list("name", flat=True)) == ["PASS_LEGITIMATE"]
    assert row.source_trial == Trial.objects.get(job__purpose=Purpose.RUN)
    run, trial = row.run, row.trial
    assert (run.name, run.rubric, run.is_plan, run.problems) == ("2026-08-02__10-00-00", None, False, [])
    assert run.config["prompt_path"] == "critique.md"
    assert run.created_at == datetime(2026, 8, 2, 10, tzinfo=UTC)
    assert (trial.job.origin, trial.job.status, trial.status) == (Origin.PIER, Status.FINISHED, Status.FINISHED)
    assert (trial.agent_label, trial.agent_version, trial.sandbox) == ("claude-code · opus", "2.0", "docker")
    assert (trial.task_name, trial.cost_usd, trial.n_steps, trial.reward) == ("demo/fix-it", 0.25, 3, None)
    assert trial.started_at == datetime(2026, 8, 2, 10, tzinfo=UTC)
    assert (trial.job.cost_usd, trial.job.n_trials, trial.job.agents) == (0.25, 1, ["claude-code · opus"])


def test_what_pier_leaves_free_is_kept_as_other_keys(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    output = {
        "rating": "bad", "tags": "FAIL_UNCLEAR", "feedback": "Hm.", "confidence": "high",
        "trial_outcome": "fail", "evidence": ["agent/trajectory.json"], "claims": "none",
    }  # fmt: skip
    make_pier_critique(make_pier_run(job), output=output)
    index_job(project, job)
    row = Critique.objects.get()
    assert (row.outcome, row.confidence, row.n_claims) == (Outcome.VALID, None, 0)
    assert row.extra == {
        "confidence_as_written": "high",
        "trial_outcome": "fail",
        "evidence": ["agent/trajectory.json"],
        "claims_as_written": "none",
    }


def test_claims_in_a_run_of_pier_have_their_quotes_looked_for(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    write(job / SOURCE / "verifier/test-stdout.txt", "one\ntwo failed\n")
    in_file = {"file": "trial/verifier/test-stdout.txt", "line": 2, "quote": "two failed"}
    output = result(claim("a", citation(2), citation(2, "entirely made up"), in_file))
    make_pier_critique(make_pier_run(job), output=output)
    index_job(project, job)
    verdicts = Citation.objects.order_by("position").values_list("is_verified", flat=True)
    assert list(verdicts) == [True, False, True]
    assert Marker.objects.filter(kind=Marker.Kind.CLAIM).count() == 1


@pytest.mark.parametrize(
    ("output", "outcome", "failure"),
    [
        ('{"rating": "good"', Outcome.INVALID, "critique-result.json: not JSON"),
        ({"rating": "fine", "feedback": "x", "tag": "y"}, Outcome.INVALID, "critique-result.json: rating"),
        ({"rating": "good", "tag": "y"}, Outcome.INVALID, "critique-result.json: "),
        (None, Outcome.FAILED, "AgentTimeoutError: too slow"),
    ],
    ids=["torn", "rating", "feedback", "missing"],
)
def test_what_a_critic_of_pier_did_not_do_is_said(
    project: Project, tmp_path: Path, output: object, outcome: Outcome, failure: str
) -> None:
    job = make_source(tmp_path)
    exception = {"exception_type": "AgentTimeoutError", "exception_message": "too slow", "occurred_at": "2026-08-02"}
    folder = make_pier_critique(make_pier_run(job), output=output or "", exception_info=exception)
    if output is None:
        (folder / "artifacts/critique-result.json").unlink()
    index_job(project, job)
    row = Critique.objects.get()
    assert (row.outcome, row.failure[: len(failure)]) == (outcome, failure)
    assert (critic().exception_type, critic().cause) == ("AgentTimeoutError", Cause.BUDGET)


def test_a_valid_result_counts_though_the_critic_failed_later(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    exception = {"exception_type": "AgentTimeoutError", "exception_message": "too slow", "occurred_at": "2026-08-02"}
    make_pier_critique(make_pier_run(job), exception_info=exception)
    index_job(project, job)
    row = Critique.objects.get()
    assert (row.outcome, row.failure) == (Outcome.VALID, "AgentTimeoutError: too slow")


def test_items_that_pier_could_not_begin_are_problems_of_the_run(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_pier_critique(make_pier_run(job, failed_items=["fix-it__0000009: No such task: tasks/x"], n_failed=1))
    index_job(project, job)
    assert CritiqueRun.objects.get().problems == [
        {"path": "fix-it__0000009", "reason": "No such task: tasks/x"},
    ]


@pytest.mark.parametrize("name", ["critique-metadata.json", "critique-config.json"])
@pytest.mark.parametrize("text", ['{"torn', "[1]", "\x00"])
def test_a_broken_file_of_pier_is_a_problem(project: Project, tmp_path: Path, name: str, text: str) -> None:
    job = make_source(tmp_path)
    folder = make_pier_critique(make_pier_run(job))
    write(folder / name, text)
    report = index_job(project, job)
    assert folder / name in {problem.path for problem in report.problems}
    assert Critique.objects.count() == 1


def test_only_the_item_that_changed_is_read_again(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path, trials=2)
    run = make_pier_run(job)
    make_pier_critique(run)
    folder = make_pier_critique(run, "fix-it__0000001")
    watcher = Watcher(project, tmp_path)
    assert watcher.look() == 2  # the trials; their critiques came with them
    before = {row.trial.name: row.rating for row in Critique.objects.select_related("trial")}
    assert before == {SOURCE: "good", "fix-it__0000001": "good"}
    shutil.rmtree(folder)
    make_pier_critique(run, "fix-it__0000001", output={"rating": "bad", "tag": "X", "feedback": "No."})
    assert watcher.look() == 1
    assert Critique.objects.get(trial__name="fix-it__0000001").rating == "bad"


def test_critiques_appear_while_pier_writes_them(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    watcher = Watcher(project, tmp_path)
    watcher.look()
    run = make_pier_run(job, finished_at=None)
    folder = make_pier_critique(run)
    (folder / "critique-metadata.json").unlink()
    (folder / "artifacts/critique-result.json").unlink()
    watcher.look()
    row = Critique.objects.select_related("trial__job").get()
    assert (row.outcome, row.trial.status, row.trial.job.status) == (Outcome.PENDING, Status.RUNNING, Status.RUNNING)
    make_pier_critique(make_pier_run(job), output={"rating": "bad", "tag": "X", "feedback": "No."})
    watcher.look()
    row = Critique.objects.select_related("trial__job").get(pk=row.pk)
    assert (row.outcome, row.rating, row.trial.status) == (Outcome.VALID, "bad", Status.FINISHED)
    assert row.trial.job.status == Status.FINISHED


def test_a_round_in_which_nothing_changed_asks_the_database_nothing(
    project: Project, tmp_path: Path, django_assert_num_queries: object
) -> None:
    make_pier_critique(make_pier_run(make_source(tmp_path)))
    watcher = Watcher(project, tmp_path)
    watcher.look()
    assert callable(django_assert_num_queries)
    with django_assert_num_queries(0):
        assert watcher.look() == 0


def test_what_pier_itself_wrote_is_indexed(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path, trials=3)
    shutil.copytree(GOLDEN, job / CRITIQUES / "validity")
    write(job / SOURCE / "agent/trajectory.json", trajectory(step(1), step(2, message="All tests pass now.")))
    report = index_job(project, job)
    assert report.problems == ()
    rows = {row.source_name: row for row in Critique.objects.select_related("trial", "source_trial")}
    assert {name: (row.outcome, row.rating) for name, row in rows.items()} == {
        SOURCE: (Outcome.VALID, "good"),
        "fix-it__0000001": (Outcome.INVALID, ""),
        "fix-it__0000002": (Outcome.FAILED, ""),
    }
    assert all(row.source_trial is not None and row.source_trial.name == name for name, row in rows.items())
    assert rows[SOURCE].trial.n_steps > 0
    assert Job.objects.get(purpose=Purpose.CRITIQUE).origin == Origin.PIER
