"""What an agent needs in a sandbox, as data: it says what to install, never how one kind of sandbox does it.

All of it ends up below PREFIX; the task's own PATH, node and Python stay as they are.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

PREFIX = "/opt/pier"
# What can stand in a folder's or a program's name, and needs no quotes in a shell.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# A package with its exact version: `name@1.2.3`, `@scope/name@1.2.3`; `name==1.2.3`, `name[extra]==1.2.3`.
NPM_PINNED = re.compile(r"(@[a-z0-9._-]+/)?[A-Za-z0-9._-]+@[0-9][A-Za-z0-9.+-]*")
PYPI_PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[A-Za-z0-9._,-]+\])?==[0-9][A-Za-z0-9.!+_-]*")


@dataclass(frozen=True, slots=True)
class Npm:
    """Packages of the npm registry, each with its exact version, the agent's own first.

    Their install scripts don't run, unless the agent doesn't work without. `node` is the oldest major version that
    will do, where the distribution's has to be taken (Alpine).
    """

    packages: tuple[str, ...]
    runs_scripts: bool = False
    node: int = 22


@dataclass(frozen=True, slots=True)
class Uv:
    """Packages of a Python index in an environment of their own, the agent's own first: exact versions.

    `requirements` is the text of a requirements file with hashes, which then fixes every package; `packages` only
    names what it is about. `python` is the oldest Python that will do, as `3.11`.
    """

    packages: tuple[str, ...]
    requirements: str | None = None
    python: str = "3.11"


@dataclass(frozen=True, slots=True)
class Script:
    """A vendor's own script, for what no registry has; run by sh as root, with HOME below PREFIX.

    `bin_folder` is where it leaves its programs.
    """

    text: str
    bin_folder: str = f"{PREFIX}/home/.local/bin"


Method = Npm | Uv | Script


@dataclass(frozen=True, slots=True)
class Install:
    """What one version of an agent needs, keyed by content. Raises ValueError for what cannot be installed safely.

    `clis` are the programs that are callable afterwards as `PREFIX/bin/<cli>`, whatever PATH says.
    `programs` are looked for on PATH (`git`, `rg`, `ps`…) and installed by the distribution's means only where they
    are missing. `files` are texts by their path below PREFIX. `commands` run last, in sh, as root.
    """

    agent: str
    version: str
    method: Method
    clis: tuple[str, ...]
    programs: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.agent, *self.clis, *self.programs):
            if not PLAIN.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of an agent or a program")
        for path in self.files:
            if not path or path.startswith("/") or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path!r} is not a path below {PREFIX}")
        if isinstance(self.method, Script):
            return
        if isinstance(self.method, Uv) and not re.fullmatch(r"3\.[0-9]{1,2}", self.method.python):
            raise ValueError(f"{self.method.python!r} is not a version of Python such as 3.11")
        pattern = NPM_PINNED if isinstance(self.method, Npm) else PYPI_PINNED
        for package in self.method.packages:
            if not pattern.fullmatch(package):
                raise ValueError(f"{package!r} does not name a package and its exact version")
        if not self.method.packages:
            raise ValueError(f"the agent {self.agent} names no package")

    def digest(self) -> str:
        """The same digest, the same content: 24 hexadecimal digits."""
        content = {"method": type(self.method).__name__, **asdict(self)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def cli_path(cli: str) -> str:
    """Where a sandbox has the program that an Install names among its `clis`."""
    return f"{PREFIX}/bin/{cli}"
