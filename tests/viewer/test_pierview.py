import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path, jobs: Path) -> Iterator["subprocess.Popen[str]"]:
    """`pierview` over the jobs in a process and with a database of its own."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIER_", "DATABASE_URL"))}
    environ |= {"PIER_DATA_DIR": str(tmp_path / "var"), "PYTHONUNBUFFERED": "1"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environ, check=True)
    argv = [sys.executable, "manage.py", "pierview", str(jobs), "--port", "0"]
    with subprocess.Popen(
        argv, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    trial = tmp_path / "jobs" / "smoke" / "task__abc"
    trial.mkdir(parents=True)
    config = {"task": {"path": "tasks/task"}, "agent": {"name": "oracle"}, "trial_name": "task__abc"}
    result = {
        "task_name": "task",
        "trial_name": "task__abc",
        "config": config,
        "verifier_result": {"rewards": {"reward": 1.0}},
        "started_at": "2026-11-20T08:00:00Z",
        "finished_at": "2026-11-20T08:01:00Z",
    }
    (trial / "config.json").write_text(json.dumps(config))
    (trial / "result.json").write_text(json.dumps(result))
    job = {"id": "1", "started_at": "2026-11-20T08:00:00Z", "finished_at": "2026-11-20T08:01:00Z", "n_total_trials": 1}
    (trial.parent / "config.json").write_text('{"job_name": "smoke"}')
    (trial.parent / "result.json").write_text(json.dumps(job))
    return tmp_path / "jobs"


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line.strip()
    raise AssertionError(f"no line with {words!r}: {process.stderr.read() if process.stderr else ''}")


def test_it_indexes_serves_and_goes_on_ctrl_c(site: "subprocess.Popen[str]") -> None:
    assert "1 trial" in line_with(site, "indexed")
    link = line_with(site, "Log in once").rpartition(" ")[2]
    assert link.endswith("?next=%2Fjobs%2F1%2F")
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert b"Continue" in answer.read()
    asked = time.monotonic()
    site.send_signal(signal.SIGINT)
    assert site.wait(timeout=10) == 0
    assert time.monotonic() - asked < 3


def refusal(*arguments: str) -> str:
    """What the command says on stderr when it goes with exit code 2 before it serves anything."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("pierview", *arguments, stdout=stdout, stderr=stderr)
    assert ended.value.code == 2
    assert stdout.getvalue() == ""
    assert len(stderr.getvalue().strip().splitlines()) == 1
    return stderr.getvalue()


@pytest.mark.django_db
def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sentence = refusal("--port", str(taken.getsockname()[1]))
    assert "in use" in sentence
    assert "--port" in sentence


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/nowhere/at/all", "--port", "0"], "/nowhere/at/all does not exist"),
        (["--port", "99999"], "99999 is no port"),
        (["--host", "192.0.2.1"], "PIER_ALLOWED_HOSTS"),
        (["--host", "::"], "PIER_ALLOWED_HOSTS"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIER_ALLOWED_HOSTS", raising=False)
    assert words in refusal(*arguments)


@pytest.mark.django_db
def test_debug_pages_are_not_served_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIER_ALLOWED_HOSTS", "pier.example")
    monkeypatch.setattr(settings, "DEBUG", True)
    assert "PIER_DEBUG" in refusal("--host", "0.0.0.0")


@pytest.mark.django_db
def test_a_host_of_another_machine_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIER_ALLOWED_HOSTS", "pier.example")
    assert "192.0.2.1" in refusal("--host", "192.0.2.1", "--port", "0")
