"""What the commands about tasks say and do where a task has services."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from docker import DockerClient

from runs.formats.task_directory import load_task
from runs.tasks.lint import lint_task
from runs.tasks.prebuild import images_of
from tests.runs.sandboxes.compose.tasks import WAITING_MAIN, WEB, make_compose_task
from tests.support.tasks import CLOSED

ROOT = Path(__file__).resolve().parents[4]


def of_rule(task: Path, rule: str) -> list[tuple[str | None, str]]:
    return [(finding.file, finding.message) for finding in lint_task(task).findings if finding.rule == rule]


def test_a_task_with_services_is_valid(tmp_path: Path) -> None:
    task = make_compose_task(tmp_path)
    assert lint_task(task).valid
    assert of_rule(task, "unsupported-feature") == []


def test_lint_refuses_what_a_trial_would_refuse_in_the_same_words(tmp_path: Path) -> None:
    [(path, message)] = of_rule(make_compose_task(tmp_path, WEB + "    pid: host\n"), "unsupported-feature")
    assert path == "environment/docker-compose.yaml"
    assert message.startswith("service 'web': 'pid' is refused")


def test_keys_without_effect_are_told(tmp_path: Path) -> None:
    task = make_compose_task(tmp_path, WEB + "    ports: ['80:80']\n")
    message = "service 'web': 'ports' has no effect: no port is published on the machine"
    assert of_rule(task, "not-honoured") == [("environment/docker-compose.yaml", message)]


def test_hooks_and_artifacts_of_services_are_honoured_where_there_is_such_a_service(tmp_path: Path) -> None:
    hooks = '\n[[verifier.collect]]\nservice = "{}"\ncommand = "true"\n'
    task = make_compose_task(tmp_path, toml=CLOSED + hooks.format("web") + hooks.format("nobody"))
    assert [message for _, message in of_rule(task, "not-honoured")] == [
        "verifier.collect[1].service has no effect here: there is no service 'nobody', and the hook is skipped"
    ]


def test_the_images_of_services_are_made_beforehand_and_that_of_main_comes_first(tmp_path: Path) -> None:
    services = WEB + "  main: {image: base}\n  copy: {image: base}\n  built: {build: ./built}\n"
    task = make_compose_task(tmp_path, services.replace("copy: {image: base}", "copy: {image: '${MAIN_IMAGE_NAME}'}"))
    (task / "environment" / "built").mkdir()
    (task / "environment" / "built" / "Dockerfile").write_text("FROM scratch\n")
    images = images_of(load_task(task), force_build=False)
    assert [image.reference or (image.context and image.context.name) for image in images] == [
        "base",
        "python:3.11-slim-bookworm",
        "built",
    ]


@pytest.mark.django_db
def test_the_plan_names_the_services_and_the_host_sandbox_refuses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    make_compose_task(tmp_path / "set")
    with pytest.raises(SystemExit) as ended:
        call_command("pierrun", "--dry-run", "-p", "set", "-e", "host")
    assert ended.value.code == 1
    assert "the task has several containers, and the host sandbox has none" in capsys.readouterr().out


@pytest.mark.docker
@pytest.mark.django_db
def test_the_plan_of_a_task_with_services_names_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, docker_engine: DockerClient
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    make_compose_task(tmp_path / "set", WAITING_MAIN + WEB)
    with pytest.raises(SystemExit) as ended:
        call_command("pierrun", "--dry-run", "-p", "set", "-e", "docker")
    assert ended.value.code == 0
    assert "and the services of docker-compose.yaml" in capsys.readouterr().out


@pytest.mark.docker
@pytest.mark.skipif(not shutil.which("docker"), reason="a shell needs the program docker")
def test_a_shell_in_a_task_has_its_services_near_by(tmp_path: Path, docker_engine: DockerClient) -> None:
    task = make_compose_task(tmp_path)
    shell = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "piertask", "shell", str(task)],
        input="getent hosts web | sed 's/.* //'; exit 3\n", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (shell.returncode, shell.stdout.splitlines()[-1]) == (3, "web")
