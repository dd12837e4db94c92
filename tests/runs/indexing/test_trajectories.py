import gzip
import json
from pathlib import Path

import pytest

from pier_site.accounts.models import Project
from runs.indexing.job import index_job
from runs.indexing.payload import unpack
from runs.indexing.trajectories import index_trajectories
from runs.models import Step, Trajectory, Trial
from tests.runs.indexing.files import make_job, make_trial, step, trajectory, write


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return make_job(tmp_path, trials=0)


def indexed(project: Project, job: Path) -> Trial:
    """The only trial of a job, indexed."""
    report = index_job(project, job)
    return report.job.trials.get()


def names(trial: Trial) -> list[tuple[str, str, str]]:
    """Kind, path and fragment of a trial's documents in reading order."""
    rows = trial.trajectories.order_by("position")
    return [(row.kind, row.path.removeprefix("agent/"), row.fragment) for row in rows]


def test_steps_become_rows_with_their_columns(project: Project, job: Path) -> None:
    folder = make_trial(job, agent_result=None)
    call = {"tool_call_id": "c", "function_name": "bash tool", "arguments": {"command": "ls  -l\nx"}}
    steps = [
        step(1, "user", message="  Fix\n the bug ", timestamp="2026-08-01T10:00:00Z"),
        step(
            2,
            message="",
            model_name="gpt-5",
            tool_calls=[call, call | {"tool_call_id": "d"}],
            metrics={"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4, "cost_usd": 0.5},
        ),
        step(3, message="copied", is_copied_context=True, metrics={"prompt_tokens": 1000}),
    ]
    write(folder / "agent/trajectory.json", trajectory(*steps))
    trial = indexed(project, job)
    user, agent, copied = Step.objects.filter(trial=trial).order_by("index")
    assert (user.index, user.step_id, user.source, user.summary) == (0, 1, "user", "Fix the bug")
    assert user.at is not None
    assert user.at.isoformat() == "2026-08-01T10:00:00+00:00"
    assert (agent.summary, agent.tool_names, agent.n_tool_calls) == ("bash tool ls -l x", "bash_tool", 2)
    assert (agent.prompt_tokens, agent.completion_tokens, agent.cached_tokens, agent.cost_usd) == (10, 2, 4, 0.5)
    assert agent.model_name == "gpt-5"
    assert copied.is_copied_context
    assert unpack(user.payload).message == "  Fix\n the bug "
    assert (trial.n_steps, trial.n_agent_steps) == (2, 1)
    assert (trial.n_input_tokens, trial.cost_usd) == (10, 0.5)


def test_totals_of_the_result_stand_over_those_of_the_steps(project: Project, job: Path) -> None:
    folder = make_trial(job)
    write(folder / "agent/trajectory.json", trajectory(step(1, metrics={"prompt_tokens": 5, "cost_usd": 9.0})))
    trial = indexed(project, job)
    assert (trial.n_input_tokens, trial.cost_usd) == (100, 0.5)


def test_continuations_and_sub_agents_are_followed_beside_and_embedded(project: Project, job: Path) -> None:
    folder = make_trial(job)
    ref = {"content": "done", "subagent_trajectory_ref": [{"trajectory_path": "sub.json"}, {"trajectory_id": "in"}]}
    embedded = trajectory(step(1), trajectory_id="in", agent={"name": "helper", "version": "1"})
    main = trajectory(
        step(1, observation={"results": [ref]}),
        continued_trajectory_ref="trajectory.cont-1.json",
        subagent_trajectories=[embedded],
    )
    write(folder / "agent/trajectory.json", main)
    write(folder / "agent/trajectory.cont-1.json", trajectory(step(1, is_copied_context=True), step(2)))
    write(folder / "agent/sub.json", trajectory(step(1)))
    write(folder / "agent/trajectory.unnamed.json", trajectory(step(1)))
    write(folder / "agent/mini-swe-agent.trajectory.json", {"messages": []})
    trial = indexed(project, job)
    assert names(trial) == [
        ("main", "trajectory.json", ""),
        ("subagent", "trajectory.json", "in"),
        ("continuation", "trajectory.cont-1.json", ""),
        ("subagent", "sub.json", ""),
        ("subagent", "trajectory.unnamed.json", ""),
    ]
    main_row = trial.trajectories.get(kind="main")
    assert set(trial.trajectories.exclude(kind="main").values_list("parent", flat=True)) == {main_row.pk}
    assert trial.n_steps == 5
    assert trial.problems == []


def test_cycles_missing_files_and_ways_out_are_warnings(project: Project, job: Path) -> None:
    folder = make_trial(job)
    refs = [{"trajectory_path": path} for path in ("gone.json", "../../../../etc/passwd", "https://x/y.json")]
    lost = {"content": "x", "subagent_trajectory_ref": [*refs, {"trajectory_id": "lost"}]}
    first = trajectory(step(1, observation={"results": [lost]}), continued_trajectory_ref="b.json")
    write(folder / "agent/trajectory.json", first)
    write(folder / "agent/b.json", trajectory(continued_trajectory_ref="trajectory.json"))
    trial = indexed(project, job)
    assert names(trial) == [("main", "trajectory.json", ""), ("continuation", "b.json", "")]
    main, continuation = trial.trajectories.order_by("position")
    told = "\n".join(main.warnings)
    assert "gone.json, which this trajectory refers to, does not exist" in told
    assert "passwd is not a file of this trial" in told
    assert "https://x/y.json is not a file of this trial" in told
    assert "sub-agent lost is referred to and not embedded" in told
    assert "refers back to agent/trajectory.json" in "\n".join(continuation.warnings)


def test_each_task_step_has_its_trajectory(project: Project, job: Path) -> None:
    folder = make_trial(job, step_results=[{"step_name": "one"}, {"step_name": "two"}])
    (folder / "agent/trajectory.json").rename(folder / "two.json")
    for name in ("two", "one"):
        write(folder / f"steps/{name}/agent/trajectory.json", trajectory())
    trial = indexed(project, job)
    rows = trial.trajectories.order_by("position")
    assert [(row.task_step, row.kind, row.path) for row in rows] == [
        ("one", "main", "steps/one/agent/trajectory.json"),
        ("two", "main", "steps/two/agent/trajectory.json"),
    ]
    assert trial.n_steps == 4


@pytest.mark.parametrize("name", ["agent/trajectory.json.gz", "artifacts/trajectory.json.gz"])
def test_a_gzipped_trajectory_is_read(project: Project, job: Path, name: str) -> None:
    folder = make_trial(job)
    (folder / "agent/trajectory.json").unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(gzip.compress(json.dumps(trajectory()).encode()))
    assert indexed(project, job).n_steps == 2


def test_a_trajectory_among_the_artifacts_counts_only_where_there_is_no_other(project: Project, job: Path) -> None:
    folder = make_trial(job)
    write(folder / "artifacts/trajectory.json", trajectory(step(1), step(2), step(3)))
    assert indexed(project, job).n_steps == 2


def test_an_invalid_trajectory_is_shown_with_what_is_wrong(project: Project, job: Path) -> None:
    folder = make_trial(job)
    call = {"tool_call_id": "c", "function_name": "bash", "arguments": '{"command": "ls"}'}
    predev = trajectory(step(1, tool_calls=[call]), agent={"name": "predev", "version": "1", "api": "x"})
    write(folder / "agent/trajectory.json", predev)
    trial = indexed(project, job)
    row = trial.trajectories.get()
    assert not row.is_valid
    assert row.warnings
    assert unpack(row.steps.get().payload).calls[0].arguments == {"command": "ls"}


def test_indexing_again_keeps_the_ids_of_documents_that_are_still_there(project: Project, job: Path) -> None:
    folder = make_trial(job)
    write(folder / "agent/trajectory.json", trajectory(step(1), continued_trajectory_ref="c.json"))
    write(folder / "agent/c.json", trajectory())
    trial = indexed(project, job)
    main = trial.trajectories.get(kind="main").pk
    write(folder / "agent/trajectory.json", trajectory(step(1), step(2), step(3)))
    index_trajectories(trial, folder)
    assert [row.pk for row in Trajectory.objects.filter(trial=trial)] == [main]
    assert Step.objects.filter(trial=trial).count() == trial.n_steps == 3


def test_a_link_that_leads_out_of_the_trial_is_not_read(project: Project, job: Path, tmp_path: Path) -> None:
    folder = make_trial(job)
    secret = write(tmp_path / "secret.json", trajectory())
    (folder / "agent/trajectory.json").unlink()
    (folder / "agent/trajectory.json").symlink_to(secret)
    report = index_job(project, job)
    assert [problem.path.name for problem in report.problems] == ["trajectory.json"]
    assert report.job.trials.get().n_steps == 0


def test_hostile_text_is_stored_on_every_database(project: Project, job: Path) -> None:
    folder = make_trial(job, exception_info={"exception_type": "E\x00", "exception_message": "\ud800" + "x" * 200_000})
    bad = "n\x00\ud800" * 400
    call = {"tool_call_id": bad, "function_name": bad, "arguments": {bad: bad}}
    steps = [step(1, message=bad, model_name=bad, tool_calls=[call], metrics={"prompt_tokens": 2**70})]
    write(folder / "agent/trajectory.json", trajectory(*steps, session_id=bad, agent={"name": bad, "version": bad}))
    trial = indexed(project, job)
    assert trial.n_steps == 1
    assert "\x00" not in trial.exception_type


@pytest.mark.corpora
def test_every_public_trajectory_becomes_rows(project: Project, tmp_path: Path, corpora: Path) -> None:
    expected = json.loads((corpora / "trajectories/expected.json").read_text())
    for number, name in enumerate(sorted(expected)):
        job = make_job(tmp_path, f"job-{number}", trials=0)
        folder = make_trial(job)
        write(folder / "agent/trajectory.json", (corpora / "trajectories" / name).read_text())
        row = indexed(project, job).trajectories.get(kind="main")
        steps = list(row.steps.order_by("index"))
        assert len(steps) == expected[name]["steps"], name
        assert sum(step.n_tool_calls for step in steps) == expected[name]["tool_calls"], name
        assert not any(unpack(step.payload).is_damaged for step in steps), name


def test_indexing_again_gives_a_new_revision_to_what_changed_alone(project: Project, job: Path) -> None:
    folder = make_trial(job)
    path = write(folder / "agent/trajectory.json", trajectory(step(1), step(2)))
    trial = indexed(project, job)

    def revisions() -> list[int | None]:
        return list(Step.objects.filter(trial=trial).order_by("index").values_list("revision", flat=True))

    assert (trial.revision, revisions()) == (0, [None, None])
    write(path, trajectory(step(1), step(2, message="grown"), step(3)))
    index_trajectories(trial, folder)
    index_trajectories(trial, folder)
    assert revisions() == [None, 1, 1]
    write(path, trajectory(step(1), step(2, message="grown")))
    index_trajectories(trial, folder)
    assert revisions() == [None, 1]
    trial.refresh_from_db()
    assert trial.revision == 3
