"""`python -m tests.support.postgres COMMAND...`: run a command with DATABASE_URL of a throw-away PostgreSQL cluster.

The server runs as an ordinary user, listens on a Unix socket in a temporary folder only, and is gone afterwards.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pier_site.bootstrap.packages import need_postgres
from pier_site.bootstrap.terminal import SetupFailed, exit_on_sigterm, run_program, say
from runs.errors import PierError

START_TIMEOUT_SEC = 30
STOP_TIMEOUT_SEC = 20
# Nothing in it outlives the tests, so nothing need reach the disk.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "128MB",
}


def server_account() -> pwd.struct_passwd:
    """Who runs the server: PostgreSQL refuses root, so root drops to an account without rights."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupFailed("PostgreSQL refuses to run as root, and there is neither an account postgres nor nobody")


@contextmanager
def throwaway_cluster() -> Iterator[str]:
    """Start a cluster, yield the URL of its empty database, stop it and remove its files."""
    programs = need_postgres()
    account = server_account()
    folder = Path(tempfile.mkdtemp(prefix="pier-pg-"))
    as_account: dict[str, Any] = {"cwd": folder, "env": {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}}
    if os.geteuid() == 0:
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_account |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        create(programs, folder, as_account)
        settings = [f"-c{key}={value}" for key, value in (SETTINGS | {"unix_socket_directories": str(folder)}).items()]
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *settings],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_account,
            )
        try:
            wait_until_it_answers(programs, folder, server)
            yield f"postgresql://pier@{quote(str(folder), safe='')}/postgres"
        finally:
            stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(programs: Path, folder: Path, as_account: dict[str, Any]) -> None:
    """Make the cluster's files."""
    options = ["--username=pier", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    argv = [str(programs / "initdb"), "-D", str(folder / "data"), *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **as_account)
    if done.returncode:
        raise SetupFailed(f"initdb ended with {done.returncode}: {done.stderr.strip()}")


def wait_until_it_answers(programs: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Return when connections are accepted; raise `SetupFailed` with the server's log otherwise."""
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while time.monotonic() < deadline and server.poll() is None:
        ready = subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False)
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    stop(server)
    raise SetupFailed(f"PostgreSQL did not start: {(folder / 'server.log').read_text(errors='replace').strip()}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Disconnect everybody and stop; kill it if it does not."""
    if server.poll() is not None:
        return
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_TIMEOUT_SEC)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def main() -> int:
    """Run the command of the arguments; return its exit code."""
    exit_on_sigterm()
    try:
        with throwaway_cluster() as url:
            return run_program(sys.argv[1:], env=os.environ | {"DATABASE_URL": url})
    except PierError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
