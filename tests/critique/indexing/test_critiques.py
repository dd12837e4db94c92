"""Critiques of Pier Site to rows."""

import shutil
from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries

from critique.digests import TRAJECTORY_CHANGED, MadeBy, digests_of
from critique.formats.config import CRITIQUES_FOLDER, CritiqueRunConfig
from critique.indexing.critique import index_critique
from critique.indexing.runs import index_critiques
from critique.models import Citation, Claim, Critique, CritiqueRun, CritiqueTag, Outcome
from critique.running.planning import digest_of_prompt
from pier_site.accounts.models import Project
from runs.formats.job import AgentConfig
from runs.indexing.job import index_job
from runs.indexing.scan import CRITIQUES
from runs.models import Job, Origin, Purpose, Status, Step, Trial
from tests.critique.indexing.files import (
    SOURCE,
    checked,
    citation,
    claim,
    make_critique,
    make_run,
    make_source,
    record,
    result,
)
from tests.runs.indexing.files import job_result, step, trajectory, write
from tests.support.critiques import make_rubric

CHECK = {"command": "ls", "expect": {"exit_code": 0}}


def test_the_folder_of_critiques_has_one_name() -> None:
    assert CRITIQUES == CRITIQUES_FOLDER


def test_a_job_is_indexed_with_the_critiques_of_its_trials(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    output = result(
        claim("It gave up.", citation(3), citation(4, "made up"), severity="critical", confidence=0.75),
        claim("The test is strict.", {"file": "task/tests/test.sh", "line": 2, "quote": "exit 1"}),
        claim("It failed.", {"verifier_test": "test_add"}, suggested_check=CHECK),
        confidence=0.5,
        checks={"reward_hacking": {"outcome": "pass", "explanation": "None seen."}},
        trial_outcome="fail",
    )
    make_critique(make_run(job), output=output, checked=checked((1, 1, True), (1, 2, False)), digests={"model": "m"})
    report = index_job(project, job)
    assert report.problems == ()
    row = Critique.objects.select_related("run", "trial__job").get()
    source = Trial.objects.get(job=report.job)
    assert (row.source_trial, row.source_name, row.outcome) == (source, SOURCE, Outcome.VALID)
    assert (row.rating, row.feedback, row.confidence) == ("bad", "It gave up.", 0.5)
    assert (row.criteria, row.extra) == (
        {"reward_hacking": {"outcome": "pass", "explanation": "None seen."}},
        {"trial_outcome": "fail"},
    )
    assert (row.digests, row.failure, row.sample) == ({"model": "m"}, "", 1)
    assert (row.n_claims, row.n_citations, row.n_unverified) == (3, 4, 3)
    assert list(row.tags.values_list("name", flat=True)) == ["FAIL_AGENT_FAULT"]
    assert (row.run.source_job, row.run.name, row.run.project) == (report.job, "night", project)
    assert not row.run.is_plan
    assert (row.trial.job.purpose, row.trial.job.origin) == (Purpose.CRITIQUE, Origin.PIER_SITE)
    assert row.run.job == row.trial.job
    assert row.trial.n_steps == 2
    first, second, third = row.claims.order_by("position")
    assert (first.text, first.severity, first.confidence) == ("It gave up.", "critical", 0.75)
    assert (first.suggested_check, third.suggested_check) == (None, CHECK | {"timeout_sec": 60.0})
    there, invented = first.citations.order_by("position")
    assert (there.kind, there.step, there.is_verified, there.trajectory) == ("step", 3, True, source.trajectories.get())
    assert (invented.is_verified, invented.note, invented.quote) == (False, "the quote is not in this step", "made up")
    [file], [test] = second.citations.all(), third.citations.all()
    assert (file.kind, file.path, file.line, file.is_verified) == ("file", "task/tests/test.sh", 2, False)
    assert (test.kind, test.test) == ("test", "test_add")


def test_a_second_run_reads_nothing_and_writes_nothing(
    project: Project, tmp_path: Path, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    job = make_source(tmp_path, trials=20)
    run = make_run(job)
    for number in range(20):
        make_critique(run, f"fix-it__{number:07d}", source_name=f"fix-it__{number:07d}", output=result(claim()))
    index_job(project, job)
    before = list(Critique.objects.values())
    row = Job.objects.runs().get()
    with django_assert_max_num_queries(20):
        report = index_critiques(row)
    assert (report.n_runs, report.n_critiques, report.n_read, report.problems) == (1, 20, 0, ())
    assert list(Critique.objects.values()) == before


def test_a_critique_costs_a_fixed_number_of_queries(
    project: Project, tmp_path: Path, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    job = make_source(tmp_path, steps=200)
    claims = [claim(f"Claim {n}", *[citation(n, f"step {n}") for _ in range(5)]) for n in range(1, 101)]
    verdicts = checked(*[(n, position, True) for n in range(1, 101) for position in range(1, 6)])
    make_critique(make_run(job), output=result(*claims), checked=verdicts)
    index_job(project, job)
    assert Citation.objects.filter(is_verified=True).count() == 500
    trial = Trial.objects.select_related("job").get(job__purpose=Purpose.CRITIQUE)
    with django_assert_max_num_queries(22):
        index_critique(trial)


def test_ids_stay_when_a_critique_is_indexed_again(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    run = make_run(job)
    make_critique(run, output=result(claim("a", citation(1)), claim("b", citation(2), citation(3)), claim("c")))
    index_job(project, job)
    critique, tags = Critique.objects.get().pk, list(CritiqueTag.objects.values_list("pk", flat=True))
    claims = {row.position: row.pk for row in Claim.objects.all()}
    citations = {(row.claim_id, row.position): row.pk for row in Citation.objects.all()}
    make_critique(run, output=result(claim("A", citation(4)), claim("b", citation(2)), tags=["FAIL_AGENT_FAULT", "X"]))
    index_job(project, job)
    assert Critique.objects.get().pk == critique
    assert {row.position: row.pk for row in Claim.objects.all()} == {1: claims[1], 2: claims[2]}
    assert list(Claim.objects.order_by("position").values_list("text", flat=True)) == ["A", "b"]
    assert {row.pk for row in Citation.objects.all()} == {citations[claims[1], 1], citations[claims[2], 1]}
    assert set(tags) < set(CritiqueTag.objects.values_list("pk", flat=True))
    assert Critique.objects.get().n_citations == 2


def test_ids_stay_when_the_trial_that_was_looked_at_is_indexed_again(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job), output=result(claim("a", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    before = Claim.objects.get().pk, Citation.objects.get().pk
    write(job / SOURCE / "agent/trajectory.json", trajectory(*[step(n, message="new") for n in range(1, 9)]))
    index_job(project, job)
    assert (Claim.objects.get().pk, Citation.objects.get().pk) == before
    assert Citation.objects.get().trajectory is not None


def test_what_the_runner_said_of_the_outcome_counts(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    make_critique(run, "a", outcome="repaired", sample=2)
    make_critique(run, "b", outcome="invalid", failure="rating: must be good or bad", output={"feedback": "Hm."})
    make_critique(run, "c", outcome="failed", failure="the critic took too long", output="")
    index_job(project, run.parent.parent)
    rows = {row.trial.name: row for row in Critique.objects.select_related("trial")}
    assert (rows["a"].outcome, rows["a"].sample, rows["a"].rating) == (Outcome.REPAIRED, 2, "bad")
    assert (rows["b"].outcome, rows["b"].failure) == (Outcome.INVALID, "rating: must be good or bad")
    assert (rows["b"].feedback, rows["b"].rating) == ("Hm.", "")
    assert (rows["c"].outcome, rows["c"].failure, rows["c"].feedback) == (
        Outcome.FAILED,
        "the critic took too long",
        "",
    )


def test_good_parts_of_a_broken_output_are_kept(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    broken = {"claim": "b", "citations": "none", "severity": "apocalyptic"}
    output = {"rating": "awful", "feedback": "Yes.", "tags": ["A", 7], "claims": [claim("a"), broken, 3]}
    make_critique(run, outcome="invalid", failure="rating: bad", output=output)
    index_job(project, run.parent.parent)
    row = Critique.objects.get()
    assert (row.rating, row.feedback, row.n_claims) == ("", "Yes.", 2)
    assert list(row.tags.values_list("name", flat=True)) == ["A"]
    assert list(row.claims.order_by("position").values_list("text", "severity")) == [("a", "major"), ("b", "info")]


@pytest.mark.parametrize("name", ["critique.json", "citations.json", "result.json"])
@pytest.mark.parametrize("text", ['{"torn', "[1]", "\x00", "[" * 5000])
def test_a_broken_file_is_a_problem_and_never_an_exception(
    project: Project, tmp_path: Path, name: str, text: str
) -> None:
    run = make_run(make_source(tmp_path))
    output = result(claim("a", citation(1)))
    folder = make_critique(run, output=output, checked=checked((1, 1, True)))
    make_critique(run, "whole", output=output)
    write(folder / name, text)
    report = index_job(project, run.parent.parent)
    [problem] = report.problems
    assert problem.path == folder / name
    trial = Trial.objects.get(name=SOURCE, job__purpose=Purpose.CRITIQUE)
    assert [told["path"] for told in trial.problems] == [name]
    assert Critique.objects.get(trial__name="whole").outcome == Outcome.VALID


@pytest.mark.parametrize("text", ['{"torn', "[1]", "\x00", "[" * 5000, "{}", '{"claims": 1, "rating": []}', "\xff"])
def test_an_output_that_is_broken_now_is_invalid_whatever_its_record_says(
    project: Project, tmp_path: Path, text: str
) -> None:
    run = make_run(make_source(tmp_path))
    folder = make_critique(run)
    (folder / "artifacts/critique-result.json").write_bytes(text.encode("latin-1"))
    assert index_job(project, run.parent.parent).problems == ()
    row = Critique.objects.get()
    assert (row.outcome, row.rating, row.n_claims) == (Outcome.INVALID, "", 0)
    assert row.failure


def test_problems_are_told_again_while_they_last(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    folder = make_critique(run)
    write(folder / "critique.json", '{"torn')
    first = index_job(project, run.parent.parent).problems
    assert index_job(project, run.parent.parent).problems == first != ()
    write(folder / "critique.json", record(run, SOURCE).model_dump_json())
    assert index_job(project, run.parent.parent).problems == ()
    assert Critique.objects.get().outcome == Outcome.VALID


def test_hostile_output_is_stored_as_text(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    huge = {"step": 10**30, "quote": "x"}
    claims = [claim("\ud800\u0000<script>", huge, {"file": "../../etc/passwd", "quote": "root", "line": 10**30})]
    make_critique(run, output=result(*claims, extra={"a": ["\u0000"] * 3}, more="x" * 300_000))
    index_job(project, run.parent.parent)
    row = Claim.objects.get()
    assert "\0" not in row.text
    assert [citation.is_verified for citation in row.citations.all()] == [False, False]
    assert Critique.objects.get().extra == {"extra": {"a": ["\ufffd"] * 3}}


@pytest.mark.parametrize("name", ["../../../secret", "/etc", "..", ".", "a/../../b"])
def test_nothing_outside_of_the_job_is_looked_at(project: Project, tmp_path: Path, name: str) -> None:
    job = make_source(tmp_path)
    for folder in (tmp_path / "secret", tmp_path / "b"):
        write(folder / "agent/trajectory.json", trajectory(step(1, message="the launch code")))
    make_critique(make_run(job), output=result(claim("a", citation(1, "the launch code"))), source_name=name)
    index_job(project, job)
    row = Citation.objects.get()
    assert (row.is_verified, row.trajectory) == (False, None)
    assert Critique.objects.get().source_trial is None


def test_a_link_out_of_the_job_is_not_followed(project: Project, tmp_path: Path) -> None:
    other = make_source(tmp_path / "elsewhere")
    make_critique(make_run(other))
    job = make_source(tmp_path)
    (job / CRITIQUES).symlink_to(other / CRITIQUES)
    index_job(project, job)
    assert Critique.objects.count() == 0


def test_quotes_are_looked_for_where_nobody_did(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job), output=result(claim("a", citation(3), citation(4, "never said so"))))
    index_job(project, job)
    assert list(Citation.objects.order_by("position").values_list("is_verified", flat=True)) == [True, False]
    assert not (job / CRITIQUES / "night" / SOURCE / "citations.json").exists()


def test_checks_that_were_run_are_seen(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    folder = make_critique(run, output=result(claim("a", suggested_check=CHECK), claim("b", suggested_check=CHECK)))
    index_job(project, run.parent.parent)
    assert set(Claim.objects.values_list("check_outcome", flat=True)) == {""}
    Claim.objects.filter(position=2).update(check_outcome=Claim.CheckOutcome.RUNNING)
    write(folder / "checks/1.json", {"outcome": "refuted", "exit_code": 2, "reason": "it ended with 2"})
    write(folder / "checks/2.json", {"outcome": "confirmed", "exit_code": 0})
    write(folder / "checks/3.json", {"outcome": "confirmed"})
    write(folder / "checks/nonsense.json", "{")
    assert index_job(project, run.parent.parent).problems == ()
    first, second = Claim.objects.order_by("position")
    assert (first.check_outcome, first.check_result["exit_code"]) == ("refuted", 2)
    assert second.check_outcome == "running"  # once more
    write(folder / "checks/1.json", {"outcome": "perhaps"})
    [problem] = index_job(project, run.parent.parent).problems
    assert problem.path.name == "1.json"


def test_what_a_critic_did_comes_before_its_correction(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    folder = make_critique(run, outcome="repaired")
    write(folder / "steps/repair/agent/trajectory.json", trajectory(step(1)))
    index_job(project, run.parent.parent)
    critic = Trial.objects.get(job__purpose=Purpose.CRITIQUE)
    rows = critic.trajectories.order_by("position").values_list("task_step", "n_steps")
    assert list(rows) == [("", 2), ("repair", 1)]


def test_a_critic_that_was_stopped_has_no_valid_critique(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    folder = make_critique(run)
    (folder / "critique.json").unlink()
    (folder / "result.json").unlink()
    index_job(project, run.parent.parent)
    row = Critique.objects.select_related("trial").get()
    assert row.trial.status == Status.INTERRUPTED
    assert (row.outcome, row.failure) == (Outcome.FAILED, "the critic was interrupted before it ended")
    assert row.source_trial is not None


def test_several_critics_and_samples_are_of_one_trial(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    for critic, sample in ((1, 1), (1, 2), (2, 1)):
        name = f"{SOURCE}__c{critic}-s{sample}"
        make_critique(run, name, critic=critic, sample=sample)
    unrecorded = make_critique(run, f"{SOURCE}__c2-s2")
    (unrecorded / "critique.json").unlink()
    index_job(project, run.parent.parent)
    source = Trial.objects.get(job__purpose=Purpose.RUN)
    assert source.critiques.count() == 4
    assert set(source.critiques.values_list("source_name", flat=True)) == {SOURCE}


def test_a_run_knows_its_rubric_its_question_and_what_it_is_about(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job, "first"))
    rubric = make_rubric(project=project)
    asked = {"rubric": f"{rubric.name}@{rubric.version}", "rubric_digest": rubric.digest, "prompt": "Look."}
    make_critique(make_run(job, "second", question="Why?", parent=f"first/{SOURCE}", **asked))
    other = {"rubric": f"{rubric.name}@{rubric.version}", "rubric_digest": "sha256:another"}
    make_critique(make_run(job, "third", **other))
    index_job(project, job)
    assert CritiqueRun.objects.get(name="third").rubric is None
    run = CritiqueRun.objects.get(name="second")
    assert (run.rubric, run.prompt) == (rubric, "Look.")
    config = CritiqueRunConfig(
        run_name="second", source_dir=job, critiques_dir=job / CRITIQUES, critics=[AgentConfig(name="nop")],
        prompt="Look.", question="Why?",
    )  # fmt: skip
    assert run.prompt_digest == digest_of_prompt(config)
    assert (run.question, run.parent) == ("Why?", Critique.objects.get(run__name="first"))
    assert run.job is not None
    assert run.created_at == run.job.started_at


def test_what_a_run_could_not_begin_is_in_its_row(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    write(run / "result.json", job_result(failed_items=["fix-it__9: the task is gone", 3]))
    write(run / "config.json", '{"torn')
    index_job(project, run.parent.parent)
    row = CritiqueRun.objects.get()
    assert row.problems[0] == {"path": "fix-it__9", "reason": "the task is gone"}
    assert [problem["path"] for problem in row.problems[1:]] == ["config.json"]


def test_the_summary_of_a_run_is_in_its_row(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    make_critique(run, "summary", subject="run", source_name="night", output=result(feedback="All gave up."))
    index_job(project, run.parent.parent)
    assert CritiqueRun.objects.get().summary == "All gave up."
    assert Critique.objects.get().source_trial is None


def test_a_summary_that_stayed_invalid_is_none(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    said = result(feedback="All gave up.")
    make_critique(run, "summary", subject="run", source_name="night", output=said, outcome="invalid", failure="So.")
    index_job(project, run.parent.parent)
    assert CritiqueRun.objects.get().summary == ""


def test_critiques_of_tasks_lie_beside_the_jobs(project: Project, tmp_path: Path) -> None:
    run = make_run(tmp_path / "jobs", "tasks", subject="task")
    make_critique(run, "fix-it", subject="task", source_name="fix-it", output=result(rating="good"))
    index_job(project, run)
    row = Critique.objects.select_related("run").get()
    assert (row.source_trial, row.source_name, row.run.source_job, row.run.subject) == (None, "fix-it", None, "task")


def test_a_critique_is_stale_once_what_it_was_of_has_changed(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    digests = digests_of(task=None, trial=job / SOURCE, made_by=MadeBy())
    make_critique(make_run(job), digests=digests.model_dump())
    index_job(project, job)
    assert not Critique.objects.get().is_stale
    write(job / SOURCE / "agent/trajectory.json", trajectory(step(1, message="something else")))
    index_job(project, job)
    row = Critique.objects.get()
    assert (row.is_stale, row.stale_reasons) == (True, [TRAJECTORY_CHANGED])
    index_critique(row.trial)
    assert Critique.objects.get().is_stale


def test_a_row_that_was_lost_is_found_again(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job), output=result(claim("a", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    pk = Critique.objects.get().pk
    Trial.objects.filter(job__purpose=Purpose.RUN).delete()
    row = Critique.objects.get()
    assert (row.source_trial, row.claims.get().citations.get().trajectory) == (None, None)
    index_job(project, job)
    row.refresh_from_db()
    assert (row.pk, row.source_name) == (pk, SOURCE)
    assert row.source_trial is not None
    assert row.claims.get().citations.get().trajectory is not None
    row.delete()
    index_job(project, job)
    assert Critique.objects.get().source_trial is not None


def test_rows_of_a_critique_outlive_its_files(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job), output=result(claim("a", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    shutil.rmtree(job / CRITIQUES)
    write(job / SOURCE / "agent/trajectory.json", trajectory(step(1), step(2)))
    index_job(project, job)
    assert (Critique.objects.get().outcome, Claim.objects.count()) == (Outcome.VALID, 1)


def test_two_projects_have_their_own(tmp_path: Path, db: None) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job))
    projects = [Project.objects.create(name=name, slug=name) for name in ("a", "b")]
    for project in projects:
        index_job(project, job)
    assert [run.project for run in CritiqueRun.objects.order_by("pk")] == projects
    assert {critique.source_trial.job.project for critique in Critique.objects.all() if critique.source_trial} == set(
        projects
    )


def test_a_run_that_is_named_by_itself_is_one(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    make_critique(run)
    report = index_job(project, run)
    assert report.job.purpose == Purpose.CRITIQUE
    assert Critique.objects.get().source_trial is None
    index_job(project, run.parent.parent)
    assert Critique.objects.get().source_trial is not None
    assert CritiqueRun.objects.get().source_job == Job.objects.runs().get()


def test_only_the_critique_that_changed_is_read_and_its_steps_are_not(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    make_critique(run, "a")
    folder = make_critique(run, "b")
    index_job(project, run.parent.parent)
    steps = list(Step.objects.order_by("pk").values_list("pk", flat=True))
    write(folder / "citations.json", {"citations": []})
    job = Job.objects.runs().get()
    assert index_critiques(job).n_read == 1
    assert list(Step.objects.order_by("pk").values_list("pk", flat=True)) == steps


def test_a_trial_is_no_critique_for_having_such_files(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    write(job / SOURCE / "artifacts/critique-result.json", result())
    write(job / SOURCE / "critique.json", record(job / "x" / "y", SOURCE).model_dump_json())
    index_job(project, job)
    assert Critique.objects.count() == CritiqueRun.objects.count() == 0


def test_a_critic_that_is_at_it_again_has_said_nothing_yet(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    make_critique(run, output=result(claim("a", citation(1))))
    index_job(project, run.parent.parent)
    critic = Trial.objects.filter(job__purpose=Purpose.CRITIQUE)
    critic.update(status=Status.QUEUED, owner="me:1:1")
    write(run.parent.parent / SOURCE / "agent/trajectory.json", trajectory(step(1), step(2)))
    index_job(project, run.parent.parent)
    assert Critique.objects.get().outcome == Outcome.PENDING
    critic.update(status=Status.FINISHED)
    index_critique(critic.select_related("job").get())
    assert Critique.objects.get().outcome == Outcome.VALID


def test_the_row_of_a_runner_keeps_what_it_said(project: Project, tmp_path: Path) -> None:
    run = make_run(make_source(tmp_path))
    index_job(project, run.parent.parent)
    job = Job.objects.get(purpose=Purpose.CRITIQUE)
    waiting = Trial.objects.create(job=job, name="x__c1-s1", task_name="fix-it", status=Status.QUEUED, owner="me:1:1")
    source = Trial.objects.get(job__purpose=Purpose.RUN)
    row = Critique.objects.create(
        run=CritiqueRun.objects.get(), trial=waiting, source_trial=source, source_name=SOURCE, sample=2
    )
    index_job(project, run.parent.parent)
    row.refresh_from_db()
    assert (row.outcome, row.source_trial, row.source_name) == (Outcome.PENDING, source, SOURCE)
    Trial.objects.filter(pk=waiting.pk).update(status=Status.INTERRUPTED)
    (run / waiting.name).mkdir()
    index_critique(Trial.objects.get(pk=waiting.pk))
    row.refresh_from_db()
    assert (row.outcome, row.source_trial, row.source_name, row.sample) == (Outcome.FAILED, source, SOURCE, 2)
