"""A real agent CLI through `piertask smoke`, and what it left through `pierjob regrade`."""

import json
from pathlib import Path

import pytest
from docker import DockerClient

from runs.formats.job import EnvironmentConfig, JobConfig
from runs.models import Job, Step
from runs.tasks.smoke import Watch, smoke
from tests.agents.conftest import TASK
from tests.agents.recipes import QUICK, RECIPES
from tests.runs.jobs.commands import pierjob
from tests.support.model_server import ModelServer


@pytest.mark.agents
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("agent", QUICK)
def test_everything_about_its_trial_is_as_it_should_be_and_it_can_be_regraded(
    tmp_path: Path, docker_engine: DockerClient, model_server: ModelServer, agent: str
) -> None:
    config = JobConfig(
        agents=[RECIPES[agent].config(model_server.base_url("basic", f"smoke-{agent}"))],
        environment=EnvironmentConfig(type="docker"),
    )
    lines: list[str] = []
    watch = Watch(lambda check: lines.append(f"{check.verdict} {check.line}"), lambda _: None)
    done = smoke(TASK, config, watch, jobs_dir=tmp_path, assume_yes=True)
    assert not done.failures, lines
    assert any(line.startswith("ok cost: $") for line in lines), lines
    assert done.directory is not None
    # The agent's key is gone from the saved settings, and no verifier needs it.
    code, out, err = pierjob("regrade", done.directory, "-o", tmp_path, "--job-name", "again", "-q", "-y")
    assert (code, err) == (0, ""), out
    [trial] = Job.objects.get(name="again").trials.all()
    assert (trial.reward, trial.agent_name, trial.exception_type) == (1.0, agent, "")
    then = json.loads((done.directory / "result.json").read_text())
    assert trial.cost_usd == pytest.approx(then["agent_result"]["cost_usd"])
    assert Step.objects.filter(trial=trial, source="agent").count() == then["n_agent_steps"]
