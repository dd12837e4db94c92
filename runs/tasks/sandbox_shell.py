"""`piertask shell`: a shell in a fresh sandbox of a task, or in what the agent of a finished trial left.

For looking and trying by hand; nothing of it is recorded, and no secret of the job is in it.
"""

import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from runs.errors import InputInvalid
from runs.formats.job import TaskSource, TrialConfig
from runs.formats.reading import JsonInvalid, parse_json, read_text
from runs.formats.result import TrialResult
from runs.formats.task_directory import is_task_directory, load_task
from runs.sandboxes.base import Image, SandboxSpec
from runs.sandboxes.compose.group import docker_sandbox
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.engine import Engine
from runs.trial.directory import WORKSPACE
from runs.trial.plan import TrialPlan
from runs.trial.regrade_restore import restore_workspace
from runs.trial.sandbox import agent_spec, loose_files, opened

MAX_RESULT_BYTES = 64 * 1024 * 1024
SHELL = "command -v bash >/dev/null 2>&1 && exec bash || exec sh"


def open_shell(path: Path, say: Callable[[str], None], *, lenient_names: bool = False) -> int:
    """Open a shell for a task or trial directory until it is left; returns its exit code. Raises InputInvalid."""
    if not shutil.which("docker"):
        raise InputInvalid("a shell needs the program `docker` (package docker-cli), which is not on PATH")
    is_task = is_task_directory(path)
    trial = None if is_task else finished_trial(path)
    task_path = path if trial is None else Path(trial.task_id.path)
    with tempfile.TemporaryDirectory(prefix="pier-shell-") as folder:
        spec, laid = _task_spec(task_path, Path(folder), lenient_names=lenient_names or not is_task)
        if trial:
            spec = replace(spec, image=Image(trial.image.id) if trial.image else spec.image)
        engine = Engine.connect()
        try:
            workspace = path / WORKSPACE if trial else None
            return asyncio.run(_shell_in(docker_sandbox(spec, engine), laid, workspace, say))
        finally:
            engine.close()


def finished_trial(path: Path) -> TrialResult:
    """The result of a trial directory. Raises InputInvalid."""
    if not (path / "result.json").is_file():
        raise InputInvalid(f"{path}: this is neither a task directory nor that of a finished trial")
    try:
        result = TrialResult.model_validate(parse_json(read_text(path / "result.json", MAX_RESULT_BYTES)))
    except (JsonInvalid, ValidationError) as error:
        raise InputInvalid(f"{path / 'result.json'}: this is not the result of a trial: {error}") from None
    if not (path / WORKSPACE).is_file():
        raise InputInvalid(f"{path}: no final state was kept ({WORKSPACE} is missing)")
    return result


def _task_spec(path: Path, folder: Path, *, lenient_names: bool) -> tuple[SandboxSpec, Path | None]:
    task = load_task(path, verification=False, lenient_names=lenient_names)
    name = f"shell-{secrets.token_hex(4)}"
    config = TrialConfig(task=TaskSource(path=path), trial_name=name, trials_dir=folder, job_id=uuid4())
    (folder / name).mkdir()
    return agent_spec(TrialPlan(config, attempt=1), task), loose_files(task)


async def _shell_in(
    sandbox: DockerSandbox, laid: Path | None, workspace: Path | None, say: Callable[[str], None]
) -> int:
    async with opened(sandbox, say):
        await sandbox.start(log=lambda _, data: say(data.decode(errors="replace").rstrip()))
        workdir = await sandbox.working_directory()
        if workspace:
            await restore_workspace(sandbox, workspace, workdir)
        elif laid:
            await sandbox.upload(laid, workdir)
        terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
        variables = [part for name, value in sandbox.network.variables.items() for part in ("-e", f"{name}={value}")]
        container = sandbox.container_id or ""
        shell = await asyncio.create_subprocess_exec(
            "docker", "exec", *terminal, *variables, "-w", workdir, container, "/bin/sh", "-c", SHELL
        )
        return await shell.wait()
