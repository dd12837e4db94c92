"""`make vendor`: fetch again what viewer/static/vendor/vendor.toml names, and refuse bytes that have another hash."""

import hashlib
import io
import shutil
import sys
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from pier_site.bootstrap.terminal import ROOT, SetupFailed, run_quietly, say
from runs.errors import PierError

FOLDER = ROOT / "viewer/static/vendor"
REGISTRY = "https://registry.npmjs.org"
TIMEOUT_SEC = 60


@dataclass(frozen=True, slots=True)
class Vendored:
    """One file of an npm package, pinned by version and hash."""

    file: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str


def read_list(folder: Path) -> list[Vendored]:
    """The files that `vendor.toml` in the folder names."""
    document = tomllib.loads((folder / "vendor.toml").read_text())
    return [Vendored(**entry) for entry in document.values()]


def refresh(folder: Path) -> None:
    """Write every file anew; raise `SetupFailed` before writing one whose hash is not the pinned one."""
    for entry in read_list(folder):
        content = member(tarball(entry), f"package/{entry.path}")
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise SetupFailed(
                f"{entry.package}@{entry.version}: {entry.path} has the sha256 {digest},"
                f" vendor.toml says {entry.sha256};"
                " read what changed before you change the hash"
            )
        (folder / entry.file).write_bytes(content)
        say(f"{entry.file}: {entry.package}@{entry.version}, {len(content)} bytes")


def tarball(entry: Vendored) -> bytes:
    """The package as npm gives it (npm knows this machine's registry), else as the public registry does."""
    npm = shutil.which("npm")
    if npm:
        with tempfile.TemporaryDirectory() as folder:
            argv = [npm, "pack", "--silent", f"{entry.package}@{entry.version}", "--pack-destination", folder]
            run_quietly(argv, what=f"fetching {entry.package}", timeout_sec=TIMEOUT_SEC * 2)
            return next(Path(folder).glob("*.tgz")).read_bytes()
    name = entry.package.rpartition("/")[2]
    url = f"{REGISTRY}/{entry.package}/-/{name}-{entry.version}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SEC) as answer:  # noqa: S310 (the scheme is in REGISTRY)
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise SetupFailed(f"{url} cannot be fetched: {error}") from error
    return content


def member(archive: bytes, path: str) -> bytes:
    """The bytes of one file in a .tgz."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        try:
            file = tar.extractfile(path)
        except KeyError:
            file = None
        if file is None:
            raise SetupFailed(f"the package has no file {path}")
        return file.read()


if __name__ == "__main__":
    try:
        refresh(FOLDER)
    except PierError as error:
        say(str(error))
        sys.exit(2)
