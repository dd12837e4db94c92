"""`piertask smoke`: one line for each thing that must be right about a trial; the database is out of reach."""

import json
from pathlib import Path

import pytest

from tests.runs.test_piertask import piertask
from tests.support.tasks import make_task

RIGHT = [
    "n/a    mounts exist: the job has none",
    "n/a    variables are set: the job refers to none",
    "ok     image and agent are kept: the second start took ",
    "ok     agent's version: oracle ",
    "ok     trial ended by itself: the agent worked for ",
    "ok     agent's steps: 1",
    "n/a    tokens: the agent oracle uses no model",
    "n/a    cost: the agent oracle uses no model",
    "network is as asked: ",
    "ok     verifier wrote a reward: reward 1",
    "ok     nothing is left behind: no container, network, volume or folder",
]


def job(folder: Path, agent: str = "name: oracle", *, kind: str = "host", more: str = "") -> Path:
    path = folder / "job.yaml"
    path.write_text(f"agents:\n  - {{{agent}}}\nenvironment:\n  type: {kind}\n{more}")
    return path


def checks(out: str) -> dict[str, tuple[str, str]]:
    """Verdict and figure by name."""
    lines = [line for line in out.splitlines() if line[:6].strip() in ("ok", "failed", "n/a")]
    return {name: (line[:6].strip(), figure) for line in lines for name, _, figure in [line[7:].partition(": ")]}


@pytest.mark.parametrize("kind", ["host", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_sound_trial_has_no_failure_and_leaves_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "docker":
        request.getfixturevalue("docker_engine")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    code, out, _ = piertask("smoke", make_task(tmp_path), "-c", job(tmp_path, kind=kind))
    assert code == 0, out
    for line, expected in zip(out.splitlines(), RIGHT, strict=True):
        assert expected in line
    network = "ok     network is as asked: closed" if kind == "docker" else "n/a    network is as asked: the host"
    assert network in out
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_kept_trial_is_a_normal_job_directory(tmp_path: Path) -> None:
    code, out, err = piertask("smoke", make_task(tmp_path), "-c", job(tmp_path), "-o", tmp_path / "jobs")
    [folder] = (tmp_path / "jobs").iterdir()
    assert code == 0
    [trial] = [path for path in folder.iterdir() if path.is_dir()]
    assert out.endswith(f"the trial is in {trial}\n")
    assert json.loads((folder / "result.json").read_text())["stats"]["n_completed_trials"] == 1
    assert (trial / "workspace.tar.zst").is_file()
    assert "verifier …" in err


def test_what_is_missing_is_named_before_anything_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    config = job(
        tmp_path, "name: nop, env: {KEY: '${NOT_THERE}'}", kind="docker", more="  mounts: ['/nowhere:/data']\n"
    )
    code, out, _ = piertask("smoke", make_task(tmp_path), "-c", config, "-o", tmp_path / "jobs")
    assert code == 1
    assert checks(out) == {
        "mounts exist": ("failed", "mount of /data: /nowhere does not exist on this machine"),
        "variables are set": ("failed", "not set: NOT_THERE"),
    }
    assert not (tmp_path / "jobs").exists()


@pytest.mark.docker
def test_variables_and_mounts_that_are_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_engine: object
) -> None:
    monkeypatch.setenv("IS_THERE", "a value that nobody prints")
    (tmp_path / "data").mkdir()
    more = f"  mounts: ['{tmp_path / 'data'}:/data:ro']\n"
    config = job(tmp_path, "name: nop, env: {MODE: '${IS_THERE}'}", kind="docker", more=more)
    code, out, _ = piertask("smoke", make_task(tmp_path), "-c", config)
    found = checks(out)
    assert code == 0, out
    assert found["mounts exist"] == ("ok", str(tmp_path / "data"))
    assert found["variables are set"] == ("ok", "IS_THERE")
    assert found["agent's steps"] == ("n/a", "the agent nop does nothing")
    assert found["verifier wrote a reward"] == ("ok", "reward 0")
    assert "nobody prints" not in out


def test_an_agent_that_fails_and_tells_nothing_fails_by_name_and_its_trial_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    task = make_task(tmp_path, test="#!/bin/bash\nexit 0\n")
    config = job(tmp_path, "name: command, model_name: lab/model, kwargs: {command: 'exit 3'}")
    code, out, _ = piertask("smoke", task, "-c", config)
    found = checks(out)
    assert code == 1
    assert found["trial ended by itself"][1].startswith("NonZeroAgentExitCodeError: ")
    assert found["tokens"] == ("failed", "no input and no output")
    assert found["cost"] == ("failed", "not known")
    assert found["verifier wrote a reward"] == ("failed", "there is none")
    assert found["nothing is left behind"][0] == "ok"
    kept = Path(out.splitlines()[-1].removeprefix("the trial is in "))
    assert (kept / "result.json").is_file()
    assert kept.is_relative_to(tmp_path / "temporary")
