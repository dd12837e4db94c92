"""What the reaper marks and removes, and what it leaves alone."""

import gc
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from docker import DockerClient

from pier_site.accounts.local import default_project
from runs.errors import ExecutionSuperseded
from runs.models import Job, Origin, Status, Trial
from runs.owner import this_owner
from runs.sandboxes.docker_reap import remove_leftovers
from runs.sandboxes.host import remove_leftover_folders
from runs.scheduling.reap import reap
from runs.trial.rows import claim

DEAD = f"{socket.gethostname()}:{2**22 + 1}:1"
ELSEWHERE = "another-machine:1:1"


def make_job(folder: Path, name: str = "job", *, status: Status = Status.RUNNING) -> Job:
    (folder / name).mkdir()
    return Job.objects.create(
        project=default_project(), directory=str(folder / name), name=name, origin=Origin.PIER_SITE,
        status=status, sorted_at=datetime.now(UTC),
    )  # fmt: skip


def make_trial(job: Job, name: str, status: Status, owner: str, *, execution: int = 1) -> Trial:
    return Trial.objects.create(
        job=job, name=name, task_name="task", status=status, owner=owner, execution=execution, phase="verifier"
    )


def statuses(job: Job) -> dict[str, str]:
    return dict(job.trials.values_list("name", "status"))


@pytest.mark.django_db
def test_rows_of_a_dead_runner_are_interrupted_queued_ones_too(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    make_trial(job, "ended", Status.FINISHED, DEAD)
    make_trial(job, "running", Status.RUNNING, DEAD)
    make_trial(job, "queued", Status.QUEUED, DEAD)
    lines = reap(None)
    assert statuses(job) == {"ended": "finished", "running": "interrupted", "queued": "interrupted"}
    job.refresh_from_db()
    assert (job.status, job.n_running, job.n_finished, job.n_trials) == (Status.INTERRUPTED, 0, 3, 3)
    assert [line for line in lines if "job/running: interrupted" in line]
    assert reap(None) == []


@pytest.mark.django_db
@pytest.mark.parametrize("owner", [this_owner(), ELSEWHERE, ""], ids=["this", "elsewhere", "nobody"])
def test_rows_of_the_living_and_of_strangers_are_left_alone(tmp_path: Path, owner: str) -> None:
    job = make_job(tmp_path)
    make_trial(job, "running", Status.RUNNING, owner)
    make_trial(job, "queued", Status.QUEUED, owner)
    assert reap(None) == []
    assert statuses(job) == {"running": "running", "queued": "queued"}
    job.refresh_from_db()
    assert job.status == Status.RUNNING


@pytest.mark.django_db
def test_an_execution_that_another_runner_has_taken_over_goes_on(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    make_trial(job, "lost", Status.RUNNING, DEAD)
    make_trial(job, "taken", Status.RUNNING, this_owner(), execution=2)
    reap(None)
    assert statuses(job) == {"lost": "interrupted", "taken": "running"}
    job.refresh_from_db()
    assert job.status == Status.RUNNING


@pytest.mark.django_db
def test_a_trial_whose_result_is_complete_has_ended_and_its_half_written_files_go(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    make_trial(job, "judged", Status.RUNNING, DEAD)
    directory = tmp_path / "job" / "judged"
    for folder in (directory, directory / "artifacts", directory / "executions" / "1"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".manifest.json.abcdefgh").touch()
        (folder / ".an-agents-own.abcdefgh").touch()
    (directory / "config.json").write_text("{}")
    (directory / "result.json").write_text(
        '{"id": "0190", "trial_name": "judged", "verifier_result": {"rewards": {"reward": 1.0}},'
        ' "finished_at": "2026-01-01T00:00:00Z"}'
    )
    reap(None)
    trial = Trial.objects.get()
    assert (trial.status, trial.reward, trial.phase) == (Status.FINISHED, 1.0, "")
    left = sorted(str(path.relative_to(directory)) for path in directory.rglob(".*"))
    assert left == [
        ".an-agents-own.abcdefgh", "artifacts/.an-agents-own.abcdefgh",
        "executions/1/.an-agents-own.abcdefgh", "executions/1/.manifest.json.abcdefgh",
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_job_whose_directory_is_gone_is_interrupted(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    make_trial(job, "running", Status.RUNNING, DEAD)
    (tmp_path / "job").rmdir()
    assert any("no such directory any more" in line for line in reap(None))
    assert reap(None) == []
    job.refresh_from_db()
    assert (job.status, statuses(job)) == (Status.INTERRUPTED, {"running": "interrupted"})


@pytest.mark.django_db
def test_a_runner_that_was_reaped_can_claim_nothing_more(tmp_path: Path) -> None:
    trial = make_trial(make_job(tmp_path), "queued", Status.QUEUED, DEAD)
    with pytest.raises(ExecutionSuperseded):
        claim(trial.pk, this_owner())
    reap(None)
    with pytest.raises(ExecutionSuperseded):
        claim(trial.pk, DEAD)


def test_the_folder_and_the_processes_of_a_dead_host_sandbox_go_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A temporary folder of its own: other tests leave dead runners' folders in the common one on purpose.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders = {owner: Path(tempfile.mkdtemp(prefix=f"pier-host-{owner}-")) for owner in (DEAD, ELSEWHERE, this_owner())}
    env = {**os.environ, "PIER_SANDBOX": folders[DEAD].name}
    try:
        command = [sys.executable, "-c", "print('begun', flush=True); input()"]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"begun\n"
            assert remove_leftover_folders() == [folders[DEAD]]
            assert process.wait(5) == -9
        assert [folder.exists() for folder in folders.values()] == [False, True, True]
    finally:
        for folder in folders.values():
            if folder.exists():
                folder.rmdir()


@pytest.fixture
def things(docker_engine: DockerClient) -> Iterator[dict[str, list[str]]]:
    """A container, a network and a volume for each owner: names by owner."""
    api, made = docker_engine.api, {}
    for number, owner in enumerate((DEAD, ELSEWHERE, this_owner())):
        name = f"pier-reap-test-{os.getpid()}-{number}"
        labels = {"pier-site": "1", "pier-site.owner": owner}
        api.create_volume(name, labels=labels)
        api.create_network(name, labels=labels, internal=True)
        api.create_container("python:3.11-slim-bookworm", "true", name=name, labels=labels)
        made[owner] = [name]
    yield made
    for [name] in made.values():
        for remove in (api.remove_container, api.remove_network, api.remove_volume):
            try:
                remove(name)
            except Exception:  # noqa: BLE001 - it was removed by the test
                continue


@pytest.mark.docker
def test_only_what_dead_owners_left_in_the_engine_is_removed(
    docker_engine: DockerClient, things: dict[str, list[str]]
) -> None:
    [lost], [foreign], [mine] = things.values()
    told = [line for line in remove_leftovers(docker_engine.api) if lost in line or foreign in line or mine in line]
    assert [line.partition(" ")[0] for line in told] == ["container", "network", "volume"]
    assert all(lost in line and line.endswith(": removed") for line in told)
    for names in (
        {name.lstrip("/") for item in docker_engine.api.containers(all=True) for name in item["Names"]},
        {item["Name"] for item in docker_engine.api.networks()},
        {item["Name"] for item in docker_engine.api.volumes()["Volumes"]},
    ):
        assert {lost, foreign, mine} & names == {foreign, mine}


# The SDK leaves the socket open that it could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.django_db
def test_the_command_tells_what_it_did_and_works_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trial(make_job(tmp_path), "running", Status.RUNNING, DEAD)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SystemExit) as exit_:
        call_command("pierjob", "reap")
    gc.collect()
    output = capsys.readouterr()
    assert not exit_.value.code
    assert output.out.splitlines() == [
        "trial job/running: interrupted",
        "job job: interrupted, 1 of 1 trials have ended",
    ]
    assert "containers were not looked for" in output.err
