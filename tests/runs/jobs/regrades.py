"""Regrading in a test: jobs that were run, then judged again, and what came of it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asgiref.sync import SyncToAsync
from django.db import connections

from tests.runs.jobs.commands import pierjob, pierrun
from tests.support.tasks import CLOSED

HALF = "#!/bin/bash\necho 0.5 > /logs/verifier/reward.txt\n"
SEPARATE = (
    CLOSED.replace("[verifier]\n", '[verifier]\nenvironment_mode = "separate"\n') + '\n[[artifacts]]\nsource = "out"\n'
)
Run = Callable[..., Path]


def runner(folder: Path, kind: str) -> Run:
    def run(*arguments: object) -> Path:
        pierrun("-p", folder / "set", "-o", folder / "jobs", "--job-name", "old", *arguments, kind=kind)
        return folder / "jobs" / "old"

    return run


def regrade(*sources: object, to: Path, name: str = "new") -> tuple[int, str, str]:
    ended = pierjob("regrade", *sources, "-o", to, "--job-name", name, "-q", "-y")
    # The thread that ran the job's queries outlives it, and PostgreSQL drops no database that it is connected to.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    return ended


def results(job: Path) -> dict[str, dict[str, Any]]:
    """The results of a job's trials by task."""
    found = [json.loads(path.read_text()) for path in job.glob("*/result.json")]
    return {result["task_name"].rpartition("/")[2]: result for result in found}


def rewards(job: Path) -> dict[str, Any]:
    return {task: (result["verifier_result"] or {}).get("rewards") for task, result in results(job).items()}


def content(folder: Path) -> str:
    """A digest of every name, kind, mode and byte below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest.update(f"{path.relative_to(folder)} {status.st_mode} {status.st_mtime_ns}".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()
