"""Agents for the host sandbox: installed once into a folder of the cache, which sandboxes then see at /opt/pier."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from runs.agents.install import Install
from runs.formats.network import OPEN
from runs.sandboxes.base import Image, OnOutput, SandboxSpec
from runs.sandboxes.certificates import VARIABLES, authorities, variables
from runs.sandboxes.single_flight import SingleFlight, only_process

if TYPE_CHECKING:
    from runs.sandboxes.host import HostSandbox

# Opens a sandbox in which the folder is at /opt/pier and may be written.
OpenBuilder = Callable[[SandboxSpec, Path], "HostSandbox"]

_flights: WeakKeyDictionary[asyncio.AbstractEventLoop, SingleFlight] = WeakKeyDictionary()


def installs_folder() -> Path:
    """Where they are kept: a folder each, whose time of change is when it was last used."""
    return Path(settings.CACHE_DIR, "installs")


async def installed_folder(install: Install, *, open_builder: OpenBuilder, log: OnOutput) -> Path:
    """The folder with what the agent needs. Raises AgentInstallFailed, also for programs that this machine lacks."""
    # Costs some 20 ms, which trials without such an agent need not pay.
    from runs.sandboxes.installing import recipe_digest

    name = f"{install.agent}-{recipe_digest(install)}"
    folder = installs_folder() / name

    async def make(log: OnOutput) -> Path:
        async with only_process(Path(settings.CACHE_DIR, "locks"), name):
            if not folder.is_dir():
                await _make(install, folder, open_builder, log)
        return folder

    if not folder.is_dir():
        flights = _flights.setdefault(asyncio.get_running_loop(), SingleFlight())
        await flights.do(name, make, log)
    os.utime(folder)
    return folder


async def _make(install: Install, folder: Path, open_builder: OpenBuilder, log: OnOutput) -> None:
    from runs.sandboxes.installing import carry_out

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    builder = open_builder(SandboxSpec(name=f"install-{install.agent}", image=Image(), network=OPEN), unfinished)
    try:
        await builder.start(log=log)
        await carry_out(install, builder, log=log, adds_packages=False)
        await builder.end_processes()
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        await asyncio.shield(builder.stop())
        shutil.rmtree(unfinished, ignore_errors=True)


def trust_variables() -> dict[str, str]:
    """What leads programs on this machine to the authorities that it trusts: its own variables, or a file of ours."""
    own = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    wanted = authorities()
    if wanted is None:
        return own
    path = Path(settings.CACHE_DIR, f"authorities-{wanted.digest()}.pem")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted.bundle)
    return {**variables(str(path)), **own}
