"""What a sandbox's container is made from: the task's image, this machine's authorities on it, the agent on top.

A layer is an image of its own, made once for its content: by one trial for all that want it, in all processes.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from runs.agents.install import Install
from runs.errors import SandboxFailed
from runs.formats.network import OPEN
from runs.sandboxes.base import LOG_FOLDERS, Image, OnOutput, ResolvedImage, SandboxSpec
from runs.sandboxes.docker_trust import LABEL, commit, config_of, image_id_of, trusting
from runs.sandboxes.engine import Engine
from runs.sandboxes.last_use import note_use
from runs.sandboxes.single_flight import only_process

if TYPE_CHECKING:
    from runs.sandboxes.docker import DockerSandbox

REPOSITORY = "pier-site/agent"
# The start of a sandbox makes them, and a trial's final state is what was changed since then.
WITHOUT_LOG_FOLDERS = f"rmdir {' '.join(LOG_FOLDERS)} /logs 2>/dev/null || true"

OpenBuilder = Callable[[SandboxSpec], "DockerSandbox"]


async def layered(
    engine: Engine, image: ResolvedImage, install: Install | None, *, open_builder: OpenBuilder, log: OnOutput
) -> str:
    """The id of the image to start from. Raises SandboxFailed, and AgentInstallFailed where the agent is the reason.

    `open_builder` gives the sandbox in which the agent is installed.
    """
    base = await trusting(engine, image.id, log)
    if install is None:
        return base
    # Costs some 20 ms, which trials without such an agent need not pay.
    from runs.sandboxes.installing import recipe_digest

    key = hashlib.sha256(f"{base}\0{image.platform}\0{recipe_digest(install)}".encode()).hexdigest()[:24]
    tag = f"{REPOSITORY}:{key}"

    async def make(log: OnOutput) -> str:
        async with only_process(Path(settings.CACHE_DIR, "locks"), key):
            found = await engine.call(image_id_of, engine, tag)
            return found if found else await _made(engine, base, tag, install, open_builder, log)

    found = await engine.call(image_id_of, engine, tag)
    layer = found if found else await engine.flights.do(tag, make, log)
    note_use(tag)
    log("stdout", f"{install.agent} {install.version} from {tag}\n".encode())
    return layer


async def _made(engine: Engine, base: str, tag: str, install: Install, open_builder: OpenBuilder, log: OnOutput) -> str:
    """Install in a sandbox with an open network, whatever the task's is: the agent does not run yet."""
    from runs.sandboxes.installing import carry_out

    builder = open_builder(SandboxSpec(name=f"install-{install.agent}", image=Image(reference=base), network=OPEN))
    try:
        await builder.start(log=log)
        await carry_out(install, builder, log=log)
        await builder.exec(WITHOUT_LOG_FOLDERS, user="root", cwd="/")
        config = await engine.call(config_of, engine, base)
        labels = {LABEL: "1", f"{LABEL}.agent": install.agent, f"{LABEL}.agent-version": install.version}
        layer = await commit(engine, str(builder.container_id), tag, config, env={}, labels=labels)
    finally:
        with suppress(SandboxFailed):
            await asyncio.shield(builder.stop())
    return layer
