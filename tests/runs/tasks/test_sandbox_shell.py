"""`piertask shell` on a task of one container: a shell where the agent would work."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docker import DockerClient

from tests.support.tasks import make_task

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not shutil.which("docker"), reason="a shell needs the program docker"),
]


def test_a_shell_opens_in_the_tasks_working_directory_and_leaves_nothing(
    tmp_path: Path, docker_engine: DockerClient
) -> None:
    task = make_task(tmp_path, name=f"shell-{tmp_path.name[-20:]}".replace("_", "-"))
    before = {container.id for container in docker_engine.containers.list(all=True)}
    shell = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "piertask", "shell", str(task)],
        input="pwd; ls /tests | wc -l; exit 4\n", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (shell.returncode, shell.stdout.splitlines()[-2:]) == (4, ["/app", "0"])
    left = [c for c in docker_engine.containers.list(all=True) if c.id not in before and task.name in str(c.name)]
    assert not left
