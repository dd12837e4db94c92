"""`pierrun --dry-run`: the plan, and what would stop it, with nothing started or written."""

from pathlib import Path

import pytest
from django.core.management import call_command
from docker import DockerClient

from tests.support.tasks import BASE_IMAGE, make_task


def dry_run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        call_command("pierrun", "--dry-run", *map(str, arguments))
    return int(exit_.value.code or 0)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.django_db
def test_a_job_that_could_run_is_listed_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task(tmp_path / "set", "one")
    make_task(tmp_path / "set", "two", toml='[environment]\nnetwork_mode = "public"\n')
    assert dry_run("-p", "set", "-k", 2, "-e", "host", "--job-name", "planned") == 0
    output = capsys.readouterr().out
    assert "4 trials would be written to jobs/planned" in output
    assert output.count("closed") == 4
    assert output.count("open") == 4
    assert not (tmp_path / "jobs").exists()


@pytest.mark.django_db
def test_everything_that_would_stop_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_task(tmp_path / "set", "good")
    (make_task(tmp_path / "set", "broken") / "task.toml").write_text("[")
    (tmp_path / "job.yaml").write_text(
        "agents: [{name: codex, model_name: openai/x, env: {K: '${PIER_TEST_NOT_SET}'}}]\n"
        "environment: {type: host, delete: false}\ndatasets: [{path: set}]\n"
    )
    assert dry_run("-c", "job.yaml") == 1
    output = capsys.readouterr().out
    for words in ("broken", "PIER_TEST_NOT_SET", "environment.delete", "codex · openai/x"):
        assert words in output


@pytest.mark.django_db
def test_the_hosts_that_a_job_adds_are_shown_with_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task(tmp_path / "set", "one")
    (tmp_path / "job.yaml").write_text(
        "agents: [{name: oracle, env: {MODEL_BASE_URL: 'http://gw.lan:4000/v1'}}]\n"
        "environment: {type: host}\nverifier: {extra_allowed_hosts: [judge.test]}\ndatasets: [{path: set}]\n"
    )
    assert dry_run("-c", "job.yaml") == 0
    output = capsys.readouterr().out
    assert "only gw.lan:4000" in output
    assert "only judge.test" in output


@pytest.mark.django_db
@pytest.mark.corpora
def test_public_job_files_plan(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(corpora)
    files = sorted((corpora / "job-configs").glob("*.yaml"))
    assert files
    for file in files:
        dry_run("-c", file, "--lenient-names")
        output = capsys.readouterr().out
        assert " trials would be written to " in output
        refused = [line for line in output.splitlines() if line.startswith("refused: ") and "/tasks/" not in line]
        assert all("not set" in line for line in refused), refused


@pytest.mark.django_db
def test_a_printed_config_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROBE_API_KEY", "sk-very-secret-value")
    secrets = ("--ae", "PROBE_API_KEY=sk-very-secret-value", "--ak", "api_key=sk-other-secret")
    with pytest.raises(SystemExit) as exit_:
        call_command("pierrun", "--print-config", *secrets)
    assert exit_.value.code == 0
    output = capsys.readouterr().out
    assert "${PROBE_API_KEY}" in output
    assert "sk-" not in output


@pytest.mark.docker
@pytest.mark.django_db
def test_of_ready_images_is_said_which_are_to_be_pulled(
    docker_engine: DockerClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, image in (("near", BASE_IMAGE), ("far", "example.invalid/no/such:1")):
        make_task(
            tmp_path / "set", name, toml=f'[environment]\ndocker_image = "{image}"\nnetwork_mode = "no-network"\n'
        )
    assert dry_run("-p", "set") == 0
    output = capsys.readouterr().out
    assert f"{BASE_IMAGE} (here)" in output
    assert "example.invalid/no/such:1 (to be pulled)" in output
