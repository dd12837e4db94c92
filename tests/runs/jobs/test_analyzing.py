"""`pierjob analyze`: figures that are counted, each checked against a job whose figures are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from pier_site.accounts.local import default_project
from runs.indexing.job import index_job
from runs.jobs.analyzing import CriticWishes, analyze, critic_call, find_subject
from runs.jobs.telemetry import OwnTests, Part, TrialTelemetry, outcome_of
from runs.jobs.totals import JobTelemetry
from runs.models import Cause, Job, Status, Trial
from tests.runs.jobs.commands import pierjob
from tests.support.factories import make_job, make_shell_step, make_trajectory, make_trial

pytestmark = pytest.mark.django_db


def a_call(name: str, arguments: dict[str, Any], result: str, number: int = 1) -> dict[str, Any]:
    """An ATIF step of one call."""
    call_id = f"c{number}"
    return {
        "source": "agent",
        "tool_calls": [{"tool_call_id": call_id, "function_name": name, "arguments": arguments}],
        "observation": {"results": [{"source_call_id": call_id, "content": result}]},
    }


def an_edit(path: str) -> dict[str, Any]:
    return a_call("Edit", {"file_path": path, "old_string": "a", "new_string": "b"}, "done")


def together(*steps: dict[str, Any]) -> dict[str, Any]:
    """One step that makes the calls of all."""
    calls, results = [], []
    for number, step in enumerate(steps):
        calls.append(step["tool_calls"][0] | {"tool_call_id": f"t{number}"})
        results.append(step["observation"]["results"][0] | {"source_call_id": f"t{number}"})
    return {"source": "agent", "tool_calls": calls, "observation": {"results": results}}


STEPS = [
    {"source": "user", "message": "Mend it."},
    a_call("Bash", {"command": "cat /tests/test_outputs.py"}, "cat: /tests: No such file or directory"),
    a_call("Bash", {"command": "pytest -q"}, "1 failed, 1 passed in 0.1s"),
    an_edit("/app/src/a.py"),
    together(an_edit("/app/src/b.py"), an_edit("/app/tests/test_a.py"), a_call("Bash", {"command": "ls"}, "a")),
    together(a_call("Bash", {"command": "git log"}, "x"), a_call("Read", {"file_path": "/app/x"}, "y")),
    a_call("Bash", {"command": "pytest -q"}, "2 passed in 0.1s"),
    an_edit("/app/src/a.py"),
    {"source": "agent", "message": "Done."},
]


def write_job(root: Path) -> Path:
    """A job directory of two trials: one passed, and the sandbox of the other broke."""
    job = root / "smoke"
    steps = [
        {"step_id": n, "timestamp": f"2026-11-20T08:00:{n:02d}Z"}
        | ({"metrics": {"prompt_tokens": 100 * n, "completion_tokens": 10}} if step["source"] == "agent" else {})
        | step
        for n, step in enumerate(STEPS, start=1)
    ]
    agent = {"name": "claude-code", "version": "1"}
    trajectory = {"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": steps}
    said: dict[str, Any] = {
        "task_name": "mend", "task_id": {"path": "mend"}, "trial_uri": "", "task_checksum": "",
        "agent_info": {"name": "claude-code", "version": "1", "model_info": {"name": "opus", "provider": "a"}},
        "config": {"task": {"path": "mend"}, "trial_name": "", "agent": {"name": "claude-code"}},
        "started_at": "2026-11-20T08:00:00Z", "finished_at": "2026-11-20T08:01:00Z",
        "agent_execution": {"started_at": "2026-11-20T08:00:10Z", "finished_at": "2026-11-20T08:00:50Z"},
        "verifier": {"started_at": "2026-11-20T08:00:50Z", "finished_at": "2026-11-20T08:00:55Z"},
    }  # fmt: skip
    good = said | {
        "trial_name": "mend__aaaaaaa",
        "agent_result": {"n_input_tokens": 4400, "n_cache_tokens": 400, "n_output_tokens": 80, "cost_usd": 0.5},
        "verifier_result": {"rewards": {"reward": 1.0}},
    }
    broken = said | {
        "trial_name": "mend__bbbbbbb",
        "verifier_result": {"rewards": {"reward": 0.0}},
        "exception_info": {
            "exception_type": "SandboxFailed", "exception_message": "gone", "exception_traceback": "",
            "occurred_at": "2026-11-20T08:01:00Z",
        },
    }  # fmt: skip
    for result in (good, broken):
        folder = job / result["trial_name"]
        (folder / "agent").mkdir(parents=True)
        (folder / "trial.log").write_text("")
        (folder / "config.json").write_text(json.dumps(result["config"]))
        (folder / "result.json").write_text(json.dumps(result))
    (job / "mend__aaaaaaa/agent/trajectory.json").write_text(json.dumps(trajectory))
    (job / "job.log").write_text("")
    (job / "config.json").write_text(json.dumps({"job_name": "smoke"}))
    (job / "result.json").write_text(json.dumps({"id": "1", "n_total_trials": 2, "started_at": "2026-11-20T08:00:00Z"}))
    return job


def the_trial(job: Path, name: str = "mend__aaaaaaa") -> TrialTelemetry:
    telemetry = analyze(find_subject(str(job / name)))
    assert isinstance(telemetry, TrialTelemetry)
    return telemetry


def the_job(job: Path) -> JobTelemetry:
    telemetry = analyze(find_subject(str(job)))
    assert isinstance(telemetry, JobTelemetry)
    return telemetry


def test_the_figures_of_a_trial_are_those_of_its_steps(tmp_path: Path) -> None:
    trial = the_trial(write_job(tmp_path))
    assert (trial.outcome, trial.reward, trial.agent) == ("passed", 1.0, "claude-code · opus")
    assert (trial.n_steps, trial.n_tool_calls) == (9, 10)
    # A step with calls of two tools is counted by its calls, also where its columns don't tell how many of each.
    assert trial.tools == {"Bash": 5, "Edit": 4, "Read": 1}
    assert trial.tests == OwnTests(n_runs=2, n_passed=1, n_failed=1, last="2 passed")
    assert (trial.n_edits, list(trial.files), trial.has_more_files) == (3, ["a.py", "b.py", "test_a.py"], False)
    assert trial.flags == {"hidden_read": 1, "test_edit": 1, "history": 1, "untested": 1}
    assert (trial.input_tokens, trial.cached_tokens, trial.output_tokens, trial.cost_usd) == (4400, 400, 80, 0.5)
    assert (trial.duration_sec, trial.phases_sec["agent_execution"], trial.phases_sec["verifier"]) == (60, 40, 5)
    assert trial.phases_sec["agent_setup"] is None


def test_a_trial_is_told_in_fifths_of_its_steps(tmp_path: Path) -> None:
    parts = the_trial(write_job(tmp_path)).parts
    assert [part.n_steps for part in parts] == [2, 2, 2, 2, 1]
    assert [part.n_tool_calls for part in parts] == [1, 2, 5, 2, 0]
    assert parts[0] == Part(2, 1, 0, prompt_tokens=200, completion_tokens=10, cost_usd=None, seconds=2.0)
    assert parts[-1].seconds == 0.0


def test_a_zero_that_is_not_the_agents_is_counted_neither_as_a_failure_nor_in_rates(tmp_path: Path) -> None:
    totals = the_job(write_job(tmp_path)).totals
    assert totals.outcomes == {"passed": 1, "not the agent's": 1}
    assert (totals.n_counted, totals.pass_rate, totals.mean_reward) == (1, 1.0, 1.0)
    assert totals.causes == {"infrastructure": 1}
    assert (totals.n_tested, totals.n_test_runs, totals.cost_per_pass_usd) == (1, 2, 0.5)
    assert totals.flags == {"hidden_read": 1, "test_edit": 1, "history": 1, "untested": 1}


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"reward": 1.0}, "passed"),
        ({"reward": 0.5}, "partial"),
        ({"reward": 0.0}, "failed"),
        ({"reward": -1.0}, "failed"),
        ({"reward": 0.0, "exception_type": "AgentTimeoutError", "cause": Cause.BUDGET}, "failed"),
        ({"reward": 0.0, "exception_type": "X", "cause": Cause.UNKNOWN}, "not the agent's"),
        ({"reward": 0.0, "exception_type": "X", "cause": "a word of tomorrow"}, "not the agent's"),
        ({"reward": None}, "no reward"),
        ({"reward": None, "status": Status.CANCELLED}, "cancelled"),
        ({"reward": None, "status": Status.INTERRUPTED}, "interrupted"),
        ({"reward": None, "status": Status.RUNNING}, "running"),
    ],
)
def test_an_outcome_says_whether_it_is_the_agents(columns: dict[str, Any], outcome: str) -> None:
    assert outcome_of(Trial(**{"status": Status.FINISHED} | columns)) == outcome


def test_agents_are_told_apart_and_together() -> None:
    job = make_job()
    for reward, agent in ((1.0, "codex"), (0.0, "codex"), (0.5, "nop")):
        make_trial(job, agent_name=agent, reward=reward, n_agent_steps=4)
    telemetry = analyze(job)
    assert isinstance(telemetry, JobTelemetry)
    assert [(one.label, one.n_trials, one.pass_rate, one.mean_reward) for one in telemetry.agents] == [
        ("codex", 2, 0.5, 0.5),
        ("nop", 1, 0.0, 0.5),
    ]
    assert (telemetry.totals.cost_usd, telemetry.totals.error_rate) == (None, 0.0)


@pytest.mark.parametrize("n_trials", [1, 6])
def test_a_job_takes_the_same_queries_however_many_trials_it_has(n_trials: int, django_assert_num_queries: Any) -> None:
    job = make_job()
    for _ in range(n_trials):
        make_trajectory(make_trial(job), [make_shell_step("ls", "a"), make_shell_step("pytest", "1 passed")])
    with django_assert_num_queries(7):
        analyze(job)


def test_steps_that_are_copies_of_earlier_ones_are_not_counted_again() -> None:
    trial = make_trial()
    trajectory = make_trajectory(trial, [make_shell_step("ls", "a"), make_shell_step("ls", "a")])
    trajectory.steps.update(tool_names="bash")
    trajectory.steps.filter(index=1).update(is_copied_context=True)
    telemetry = analyze(trial)
    assert isinstance(telemetry, TrialTelemetry)
    assert telemetry.tools == {"bash": 1}


def test_the_command_reads_a_directory_that_the_database_does_not_know(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    code, out, err = pierjob("analyze", job)
    assert (code, err) == (0, "")
    for told in (
        "1 passed, 1 not the agent's",
        "100% of 1 trials whose reward is the agent's passed, mean reward 1.000",
        "2 test runs in 1 trials (50%), 3 steps with edits",
        "4,400 input tokens (400 of them cached), 80 output tokens",
        "cost $0.50, $0.50 for each that passed",
        "tests or solution named",
    ):
        assert told in out
    assert Job.objects.get().trials.count() == 2


def test_the_command_tells_of_one_trial_by_its_directory_and_by_its_name(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    by_directory = pierjob("analyze", job / "mend__aaaaaaa")
    assert by_directory == pierjob("analyze", "mend__aaaaaaa")
    assert by_directory[0] == 0
    assert "2 test runs: 1 passed, 1 failed, the last: 2 passed" in by_directory[1]
    assert "3 steps with edits of a.py, b.py, test_a.py" in by_directory[1]


def test_json_holds_all_of_it_on_the_terminal_and_in_a_file(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    code, out, _ = pierjob("analyze", job, "--json", "-o", tmp_path / "out.json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out.json").read_text())
    told = json.loads(out)
    assert told["totals"]["tools"] == {"Bash": 5, "Edit": 4, "Read": 1}
    assert told["trials"][0]["parts"][0]["prompt_tokens"] == 200
    assert json.loads(pierjob("analyze", job / "mend__aaaaaaa", "--json")[1]) == told["trials"][0]


def test_a_job_without_trials_and_one_that_runs_are_told_too() -> None:
    job = make_job(name="empty", status=Status.RUNNING)
    code, out, _ = pierjob("analyze", "empty")
    assert (code, "no trial yet" in out) == (0, True)
    make_trial(job, status=Status.RUNNING, reward=None, started_at=None, finished_at=None)
    assert "1 running" in pierjob("analyze", "empty")[1]


def test_names_from_files_cannot_write_to_the_terminal() -> None:
    trial = make_trial(make_job(name="odd"), agent_name="a\x1b[31m[bold]b")
    make_trajectory(trial, [make_shell_step("ls", "a")]).steps.update(tool_names="\x1b]0;x\x07", n_tool_calls=1)
    out = pierjob("analyze", "odd")[1]
    assert "\x1b" not in out
    assert "[bold]b" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no job or trial of this name and no such directory"),
        (["{tmp}"], "holds no job directory"),
        (["{job}", "--failing"], "--failing is about a critic: name its model with -m"),
        (["{job}", "-n", "2"], "--n-concurrent is about a critic"),
        (["{job}", "-o", "{tmp}/none/x.json"], "cannot be written: No such file or directory"),
    ],
    ids=["name", "folder", "flag", "number", "output"],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    places = {"tmp": str(tmp_path / "empty"), "job": str(write_job(tmp_path))}
    code, out, err = pierjob("analyze", *(argument.format(**places) for argument in arguments))
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_critic_is_called_with_what_was_asked_and_goes_on_where_it_was(tmp_path: Path) -> None:
    job = index_job(default_project(), write_job(tmp_path)).job
    trial = job.trials.order_by("name")[0]
    wishes = CriticWishes(models=["anthropic/opus"], agents=["codex"], failing=True, limit=3, n_concurrent=2, yes=True)
    assert critic_call(job, wishes) == [
        job.directory, "--rubric", "run-analysis", "--name", "run-analysis-codex-anthropic-opus-failing-first-3",
        "-a", "codex", "-m", "anthropic/opus", "--summarise", "--failing", "--yes", "-l", "3", "-n", "2",
    ]  # fmt: skip
    plain = CriticWishes(models=["opus"])
    assert critic_call(trial, plain) == [
        str(Path(job.directory, trial.name)), "--rubric", "run-analysis",
        "--name", "run-analysis-opus-mend__aaaaaaa", "-m", "opus",
    ]  # fmt: skip
