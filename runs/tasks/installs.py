"""Which commands install packages or fetch from the network, and which packages have no fixed version.

Known by the names of the common package managers; a script that hides them is not seen through.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from runs.tasks.shell import Command

Kind = Literal["python", "node", "system", "other"]

_PYTHON: Final = re.compile(r"(?:.*/)?python[0-9.]*")
_PIP: Final = re.compile(r"(?:.*/)?pip[0-9.]*")
# Options of pip, uv, npm and the others that are followed by a value.
_TAKES_VALUE: Final = frozenset(
    {"-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target", "--prefix",
     "--python", "-p", "--root", "--no-binary", "--only-binary", "--platform", "--trusted-host", "--timeout",
     "--retries", "--cert", "--registry", "--index", "--default-index", "--cache", "--group", "--extra", "-n", "--name",
     "--channel", "--features", "--path", "--target-dir", "--repository", "-X", "--virtual"}
)  # fmt: skip
_REQUIREMENTS: Final = frozenset({"-r", "--requirement", "--requirements"})
_OFFLINE: Final = frozenset({"--no-index", "--offline", "--no-network"})
_EXACT_NODE: Final = re.compile(r"v?\d+\.\d+\.\d+\S*")
_LOCAL_PATH: Final = re.compile(r"\.{0,2}/|\.$|\.\[|~|file:|\S+\.(?:whl|tar\.gz|tgz|zip|deb|apk|rpm)$")
_SYSTEM: Final = {"apt": "install", "apt-get": "install", "apk": "add", "dnf": "install", "yum": "install"}
_NODE: Final = {"npm": ("install", "i", "add", "ci"), "pnpm": ("add", "install", "i"), "yarn": ("add", "install"),
                "bun": ("add", "install", "i")}  # fmt: skip
_FETCHERS: Final = frozenset({"curl", "wget", "aria2c"})
_URL: Final = re.compile(r"(?:https?|ftp|git|ssh)://(?:[^/\s@]*@)?([^/:\s]+)", re.IGNORECASE)
_LOCAL_HOST: Final = re.compile(r"localhost|127\.[0-9.]+|0\.0\.0\.0|\[?::1\]?|\$.*|[^.]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Install:
    """One command that installs: what it names, which of that has no fixed version, and files that list more.

    `is_local`: it asks no package index.
    """

    command: Command
    kind: Kind
    unpinned: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    is_local: bool = False

    @property
    def tool(self) -> str:
        """The command in two words, for a message."""
        return " ".join(self.command.words[: 4 if "-m" in self.command.words[:2] else 2])[:60]


def install_of(command: Command) -> Install | None:
    """What a command installs, or None where it installs nothing."""
    for reader in (_read_python, _read_node, _read_system, _read_other):
        install = reader(command)
        if install:
            offline = bool(_OFFLINE & set(command.words))
            return replace(install, is_local=install.is_local or offline)
    return None


def host_fetched_from(command: Command) -> str | None:
    """The host that a command fetches from, or None where it fetches nothing, or only from its own machine."""
    name = command.words[0].rsplit("/", 1)[-1]
    fetches = name in _FETCHERS or (name == "git" and {"clone", "fetch", "pull"} & set(command.words))
    hosts = [found[1] for word in command.words[1:] for found in _URL.finditer(word)] if fetches else []
    return next((host for host in hosts if not _LOCAL_HOST.fullmatch(host)), None)


def is_pinned_python(requirement: str) -> bool:
    """Whether a Python requirement names one version, a local file or a fixed reference; unknown counts as pinned."""
    bare = requirement.split(";", maxsplit=1)[0].strip()
    if "$" in bare or _LOCAL_PATH.match(bare):
        return True
    if "://" in bare:
        return not bare.startswith("git+") or "@" in bare.rsplit("/", 1)[-1]
    return "==" in bare and "*" not in bare


def unpinned_in_requirements(text: str) -> Iterator[tuple[int, str]]:
    """The requirements of a pip requirements file that have no fixed version, with their lines."""
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.split(" #")[0].split(" --")[0].strip().rstrip("\\").strip()
        if entry and not entry.startswith(("#", "-")) and not is_pinned_python(entry):
            yield number, entry[:60]


def _read_python(command: Command) -> Install | None:
    words = command.words
    if _PYTHON.fullmatch(words[0]) and words[1:2] == ("-m",):
        words = words[2:]
    if not words:
        return None
    name = words[0].rsplit("/", 1)[-1]
    if name == "uvx" or (name == "uv" and words[1:2] == ("run",)):
        return _read_uvx(command, words)
    if name in ("uv", "poetry", "conda", "mamba", "micromamba") and len(words) > 1:
        rest = words[3:] if words[1] in ("pip", "tool") else words[2:]
        if not {"install", "add"} & set(words[1:3]):
            return None
    elif (_PIP.fullmatch(words[0]) or name == "pipx") and "install" in words[1:]:
        rest = words[words.index("install") + 1 :]
    else:
        return None
    named, files = _arguments(rest)
    unpinned = tuple(word for word in named if not (is_pinned_python(word) or _is_pinned_conda(name, word)))
    is_local = bool(named) and not files and all(_LOCAL_PATH.match(word) for word in named)
    return Install(command, "python", unpinned, tuple(files), is_local)


def _is_pinned_conda(name: str, word: str) -> bool:
    return name in ("conda", "mamba", "micromamba") and "=" in word


def _read_uvx(command: Command, words: Sequence[str]) -> Install | None:
    """`uvx --with A==1 TOOL ...`: the packages it brings, and the tool itself unless `--with` or `--from` names it."""
    brought: list[str] = []
    rest = deque(words[1:] if words[0].endswith("uvx") else words[2:])
    has_from = False
    while rest and rest[0].startswith("-"):
        option, given, value = rest.popleft().partition("=")
        if option in ("--with", "--from", "-w", "--with-requirements") or option in _TAKES_VALUE:
            value = value if given else (rest.popleft() if rest else "")
        if option in ("--with", "--from", "-w"):
            has_from = has_from or option == "--from"
            brought += value.split(",")
    if words[0].endswith("uvx") and rest and not has_from:
        names = {re.split(r"[=<>\[@~! ]", package)[0] for package in brought}
        tool = rest[0].replace("@", "==")
        brought += [] if tool in names else [tool]
    if not brought:
        return None
    return Install(command, "python", tuple(package for package in brought if not is_pinned_python(package)))


def _read_node(command: Command) -> Install | None:
    words = command.words
    name = words[0].rsplit("/", 1)[-1]
    if name in ("npx", "bunx"):
        named, _ = _arguments(words[1:])
        named = named[:1]
    elif name in _NODE:
        rest = [word for word in words[1:] if word != "global"]
        verbs = [number for number, word in enumerate(rest) if not word.startswith("-")]
        if name == "yarn" and not verbs:
            return Install(command, "node", ())
        if not verbs or rest[verbs[0]] not in _NODE[name]:
            return None
        named, _ = _arguments(rest[verbs[0] + 1 :])
    else:
        return None
    return Install(command, "node", tuple(word for word in named if not _is_pinned_node(word)))


def _is_pinned_node(package: str) -> bool:
    if "$" in package or _LOCAL_PATH.match(package) or "://" in package:
        return True
    return bool(_EXACT_NODE.fullmatch(package[1:].partition("@")[2]))


def _read_system(command: Command) -> Install | None:
    name = command.words[0].rsplit("/", 1)[-1]
    if _SYSTEM.get(name) not in command.words[1:] or name not in _SYSTEM:
        return None
    named, _ = _arguments([word for word in command.words[1:] if word != _SYSTEM[name]])
    unpinned = tuple(word for word in named if "=" not in word and "$" not in word and not _LOCAL_PATH.match(word))
    return Install(command, "system", unpinned, is_local=bool(named) and all(map(_LOCAL_PATH.match, named)))


def _read_other(command: Command) -> Install | None:
    """go, cargo, gem."""
    words = command.words
    name = words[0].rsplit("/", 1)[-1]
    if name not in ("go", "cargo", "gem") or words[1:2] != ("install",):
        return None
    named, _ = _arguments(words[2:])
    named = [word for word in named if not _LOCAL_PATH.match(word)]
    says_version = bool({"-v", "--version", "--tag", "--rev"} & {word.partition("=")[0] for word in words})
    is_pinned: Callable[[str], bool] = lambda word: "$" in word or word.partition("@")[2] not in ("", "latest")  # noqa: E731
    unpinned = tuple(word for word in named if not (is_pinned(word) or (name != "go" and says_version)))
    is_local = not named
    return Install(command, "other", unpinned, is_local=is_local)


def _arguments(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is named, and the files that are given as lists of more; options and their values are left out."""
    named: list[str] = []
    files: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        option, given, value = word.partition("=")
        if option in _REQUIREMENTS:
            files.append(value if given else (rest.popleft() if rest else ""))
        elif word in _TAKES_VALUE and rest:
            rest.popleft()
        elif not word.startswith("-") and word not in ("\\", ""):
            named.append(word)
    return named, files
