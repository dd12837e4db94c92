"""`make run`: database, engine, images and example runs, then the site in place of this process."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Never

from pier_site.bootstrap.engine import ensure_engine
from pier_site.bootstrap.images import EXAMPLES, ensure_images
from pier_site.bootstrap.terminal import ROOT, VAR, SetupFailed, run_program, run_quietly, say

JOBS = ROOT / "jobs"
JOB_NAME = "examples"
FIRST_PORT = 8000
PORTS_TRIED = 100
MANAGE = (sys.executable, "manage.py")
BAD_INPUT = 2


def launch() -> int:
    """Prepare all, then become `pierview`. Returns only when the examples could not be started."""
    os.chdir(ROOT)
    port = wanted_port(os.environ.get("PORT"))
    code = prepare()
    if code != BAD_INPUT:
        open_site(port)
    return code


def prepare() -> int:
    """Make database, engine, images and the finished example job; return the exit code of the examples."""
    VAR.mkdir(exist_ok=True)
    run_quietly([*MANAGE, "migrate", "--verbosity", "0"], what="preparing the database")
    if ensure_engine().process is not None:
        say("dockerd stays when this command ends; stop it with: kill $(cat /var/run/docker.pid)")
    ensure_images(EXAMPLES)
    if any(is_finished(job) for job in JOBS.glob(f"{JOB_NAME}*")):
        return 0
    say("running the example tasks with their reference solutions (agent: oracle), once")
    options = ["-p", str(EXAMPLES.relative_to(ROOT)), "-a", "oracle", "--job-name", JOB_NAME, "-y"]
    code = run_program([*MANAGE, "pierrun", *options])
    if code not in {0, BAD_INPUT}:
        say("some examples ended with an error; their pages say why")
    return code


def open_site(port: int) -> Never:
    """Replace this process by the site, which prints a one-time login link to the finished job."""
    sys.stdout.flush()
    job = next((job for job in sorted(JOBS.glob(f"{JOB_NAME}*")) if is_finished(job)), JOBS)
    options = ["--port", str(port), "--login-link", str(job)]
    os.execv(sys.executable, [*MANAGE, "pierview", str(JOBS.relative_to(ROOT)), *options])  # noqa: S606 (no shell is wanted)


def is_finished(job: Path) -> bool:
    """Whether the job's directory has the result of a job that ended."""
    try:
        result = json.loads((job / "result.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(result, dict) and bool(result.get("finished_at"))


def wanted_port(text: str | None) -> int:
    """The port that PORT names, which must be free; without it, the first free one from 8000 on."""
    if text:
        if not text.isdigit() or not 0 < int(text) < 1 << 16:
            raise SetupFailed(f"PORT={text} is not a port: give a number from 1 to 65535")
        if not is_free(int(text)):
            raise SetupFailed(f"port {text} is in use: stop what listens there, or give another PORT")
        return int(text)
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if is_free(port):
            return port
    raise SetupFailed(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} are all in use: give another PORT")


def is_free(port: int) -> bool:
    """Whether a server may listen on that loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
