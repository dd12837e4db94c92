"""Starting what a person approved in the browser: a process of its own, which goes on when the web server ends."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

from django.conf import settings

from critique.models import CritiqueRun
from runs.errors import InputInvalid

MAX_LOG_BYTES = 8_000


def start_run(run: CritiqueRun) -> None:
    """Start `piercritique --plan` of an approved run. The command itself refuses one that is at work already.

    Its argument list has the run's number and nothing else; what critics need of secrets is in the environment, which
    is this process's. Raises InputInvalid where the run isn't approved or no process can be started.
    """
    if run.approved_at is None:
        raise InputInvalid(f"{run.name} is not approved")
    start_command("piercritique", "--plan", str(run.pk), log=log_of(run))


def start_command(*arguments: str, log: Path) -> None:
    """Start `manage.py` with these arguments in a session of its own, its output appended to `log`."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    environment = os.environ | {"PIER_DATA_DIR": str(settings.DATA_DIR)}
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
                cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise InputInvalid(f"No process could be started: {error}") from error
    # Somebody must hear of its end while this process lives: an unheard one would look alive to the reaper.
    Thread(target=process.wait, name=f"wait for {process.pid}", daemon=True).start()


def log_of(run: CritiqueRun) -> Path:
    """Where a run that was started here says what it says."""
    return Path(settings.DATA_DIR) / "logs" / f"critique-run-{run.pk}.log"


def end_of_log(run: CritiqueRun) -> str:
    """The last lines of it, empty where it was not started here."""
    try:
        with log_of(run).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MAX_LOG_BYTES))
            return file.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
