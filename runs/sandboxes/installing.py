"""Carrying out what an agent needs, in any sandbox that can take files and run commands: with its network open.

Sandboxes that can keep the outcome (a layer of an image, a folder of this machine) do this once and use it often.
"""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from runs.agents import toolchains
from runs.agents.install import PREFIX, Install, Method, Npm, Script, Uv
from runs.errors import AgentInstallFailed, SandboxFailed
from runs.sandboxes.base import OnOutput, Sandbox, Stream, first_bytes

BUILD = f"{PREFIX}/.build"
RECIPE = Path(toolchains.__file__).with_name("install.sh")
LOG_TAIL_BYTES = 1500
# Where there is apk and no apt-get, the C library is musl, as on Alpine.
PROBE = "uname -m; command -v apt-get >/dev/null || command -v apk || true"


def recipe_digest(install: Install) -> str:
    """Changes with what is installed, with how, and with the programs that do it."""
    versions = (toolchains.NODE_VERSION, toolchains.NPM_VERSION, toolchains.UV_VERSION)
    content = "\0".join([install.digest(), *versions, RECIPE.read_text()])
    return hashlib.sha256(content.encode()).hexdigest()[:24]


async def carry_out(install: Install, sandbox: Sandbox, *, log: OnOutput, adds_packages: bool = True) -> None:
    """Install into a started sandbox. Raises AgentInstallFailed with the last words of what went wrong.

    Without `adds_packages` a program that the system lacks is a failure.
    """
    log("stdout", f"Installing {install.agent} {install.version}\n".encode())
    await _send(install, sandbox)
    tail = bytearray()

    def keep(stream: Stream, data: bytes) -> None:
        log(stream, data)
        tail.extend(data)
        del tail[:-LOG_TAIL_BYTES]

    environment = {
        **_variables(install),
        **toolchains.registries().variables(),
        "PIER_ADDS_PACKAGES": str(int(adds_packages)),
    }
    result = await sandbox.exec(f"sh {BUILD}/install.sh", env=environment, user="root", cwd="/", on_output=keep)
    if result.exit_code:
        words = bytes(tail).decode(errors="replace").strip()
        name = f"{install.agent} {install.version}"
        raise AgentInstallFailed(f"{name} could not be installed; the build log has all of it, its end is:\n{words}")


async def _send(install: Install, sandbox: Sandbox) -> None:
    """The programs that install, and the texts."""
    output = bytearray()
    if (await sandbox.exec(PROBE, user="root", cwd="/", on_output=first_bytes(output))).exit_code:
        raise SandboxFailed(f"the sandbox could not be asked what it is: {bytes(output).decode(errors='replace')}")
    machine, *apk = bytes(output).decode(errors="replace").split()
    match install.method:
        case Npm():
            if not apk:
                await sandbox.upload(await asyncio.to_thread(toolchains.node, machine), f"{PREFIX}/node")
            await sandbox.upload(await asyncio.to_thread(toolchains.npm), f"{BUILD}/npm")
        case Uv():
            await sandbox.upload(await asyncio.to_thread(toolchains.uv, machine), f"{BUILD}/uv")
        case Script():
            pass
    with tempfile.TemporaryDirectory(prefix="pier-install-") as folder:
        for path, text in {**_texts(install), **install.files}.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        for made in (Path(folder), *Path(folder).rglob("*")):
            made.chmod(0o755 if made.is_dir() else 0o644)
        await sandbox.upload(Path(folder), PREFIX)


def _texts(install: Install) -> dict[str, str]:
    texts = {".build/install.sh": RECIPE.read_text()}
    if isinstance(install.method, Uv) and install.method.requirements:
        texts[".build/requirements.txt"] = install.method.requirements
    if isinstance(install.method, Script):
        texts[".build/script.sh"] = install.method.text
    if install.commands:
        texts[".build/commands.sh"] = "\n".join(install.commands)
    return texts


def _variables(install: Install) -> dict[str, str]:
    """What install.sh reads; all names are plain, see Install."""
    return {
        "PIER_AGENT": install.agent,
        "PIER_CLIS": " ".join(install.clis),
        "PIER_PROGRAMS": " ".join(install.programs),
        **_variables_of(install.method),
    }


def _variables_of(method: Method) -> dict[str, str]:
    match method:
        case Npm(packages, runs_scripts, node):
            scripts = str(int(runs_scripts))
            names = " ".join(packages)
            return {"PIER_METHOD": "npm", "PIER_PACKAGES": names, "PIER_RUNS_SCRIPTS": scripts, "PIER_NODE": str(node)}
        case Uv(packages, _, python):
            return {"PIER_METHOD": "uv", "PIER_PACKAGES": " ".join(packages), "PIER_PYTHON": python}
        case Script(_, bin_folder):
            return {"PIER_METHOD": "script", "PIER_BIN_FOLDER": bin_folder}
