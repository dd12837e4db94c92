"""Install the distribution's packages: only on Debian or Ubuntu, only as root, and never without saying why."""

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pier_site.bootstrap.terminal import SetupFailed, run_quietly, say


def can_install() -> bool:
    """Whether this process may use apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], *, why: str) -> None:
    """Install through apt-get, or raise `SetupFailed` that says what to type. Uses the network for up to minutes."""
    if not can_install():
        raise SetupFailed(
            f"{why} needs {' '.join(packages)}: install it and try again"
            f" (Debian or Ubuntu: sudo apt-get install {' '.join(packages)})"
        )
    say(f"installing {' '.join(packages)} with apt-get: {why} needs it")
    # In runlevel 1 a package's script starts no daemon: what we start ourselves, we can stop.
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run_quietly(["apt-get", "update", "-qq"], what="apt-get update", env=env)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    run_quietly(command, what="apt-get install", env=env, timeout_sec=1800)


def need_program(name: str, *, packages: Sequence[str], why: str) -> str:
    """The path of a program, after installing its packages if it is missing."""
    path = shutil.which(name, path=search_path())
    if path is None:
        install(packages, why=why)
        path = shutil.which(name, path=search_path())
    if path is None:
        raise SetupFailed(f"{' '.join(packages)} installed, but {name} is not on PATH")
    return path


def search_path() -> str:
    """PATH with the administrator's folders, where daemons live."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find_postgres_folder() -> Path | None:
    """The folder with `initdb` and `postgres`: from PATH, else Debian's newest."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: int("0" + "".join(filter(str.isdigit, folder.parent.name))), default=None)


def need_postgres() -> Path:
    """The folder of PostgreSQL's server programs, after installing them if they are missing; no cluster is made."""
    folder = find_postgres_folder()
    if folder:
        return folder
    no_cluster = Path("/etc/postgresql-common/createcluster.d/pier-site.conf")
    if can_install():
        no_cluster.parent.mkdir(parents=True, exist_ok=True)
        no_cluster.write_text("create_main_cluster = false\n")
    try:
        install(["postgresql"], why="testing on PostgreSQL")
    finally:
        no_cluster.unlink(missing_ok=True)
    folder = find_postgres_folder()
    if folder is None:
        raise SetupFailed("postgresql is installed, but initdb is neither on PATH nor in /usr/lib/postgresql")
    return folder


def need_browser() -> None:
    """Install Debian's chromium if there is no browser, and the library that playwright's driver needs to start."""
    why = "testing pages in a browser"
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        need_program("chromium", packages=["chromium", "fonts-liberation"], why=why)
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libatomic.so.1")
        except OSError:
            install(["libatomic1"], why=why)
