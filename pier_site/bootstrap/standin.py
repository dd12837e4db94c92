"""Build a stand-in for a base image out of Debian's packages, for machines that reach no container registry.

It has Python 3.11, pip, venv and git, as `python:3.11-slim-bookworm` has in what tasks use of it; it is no copy of it.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pier_site.bootstrap import packages
from pier_site.bootstrap.machine import CERTIFICATE, Machine, read_machine
from pier_site.bootstrap.terminal import CACHE, SetupFailed, run_quietly, say

if TYPE_CHECKING:
    from docker import DockerClient

SUITE = "bookworm"
LABEL = "pier-site.standin"
PACKAGES = (
    "python3",
    "python3-pip",
    "python3-venv",
    "python-is-python3",
    "git",
    "ca-certificates",
    "curl",
    "procps",
)
# On Ubuntu the keys of Debian's archive are a package of their own.
DEBOOTSTRAP = ("debootstrap", "debian-archive-keyring")
HONEST_NAMES = re.compile(
    r"""(?:docker\.io/)?(?:library/)?(?:
        python:(?:3|3\.11|3\.11\.\d+)(?:-slim)?(?:-bookworm)?
      | debian:(?:bookworm|12|12\.\d+)(?:-slim)?
    )""",
    re.VERBOSE,
)
# Big and never used inside a sandbox; licences stay.
DROPPED = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache/apt",
    "var/lib/apt/lists",
)
PATH_IN_IMAGE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUNDLE_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"
CHUNK_BYTES = 1 << 20


def can_stand_in(name: str) -> bool:
    """Whether the stand-in may honestly be given that name: same distribution, same Python, no digest promised."""
    return HONEST_NAMES.fullmatch(name) is not None


def ensure_standin(client: "DockerClient", names: list[str]) -> None:
    """Give the stand-in those names; take it from the engine, from `.cache/`, or build it (40 s, root, network)."""
    machine = read_machine(SUITE)
    key = standin_key(machine)
    image = next(iter(client.images.list(filters={"label": f"{LABEL}-key={key}"})), None)
    if image is None:
        archive = CACHE / f"standin-{SUITE}-{platform.machine()}-{key}.tar.zst"
        if not archive.exists():
            build_archive(archive, machine)
        image = import_archive(client, archive, machine=machine, key=key)
    for name in names:
        repository, _, tag = name.rpartition(":")
        image.tag(repository, tag)
        say(f"{name}: a stand-in made of Debian's packages has this name now (docker rmi {name} removes it)")


def standin_key(machine: Machine) -> str:
    """Changes when anything that goes into the image changes."""
    parts = [
        SUITE,
        *PACKAGES,
        *image_changes(machine, key=""),
        *machine.certificates,
        pip_conf(machine),
        *apt_files(machine),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def build_archive(archive: Path, machine: Machine) -> None:
    """Write the root file system of the stand-in as a compressed tar; raise `SetupFailed` when this machine cannot."""
    if os.geteuid() != 0:
        raise SetupFailed("building a stand-in image needs root: run the same command once with sudo")
    debootstrap = packages.need_program("debootstrap", packages=DEBOOTSTRAP, why="building a stand-in image")
    say(f"building a stand-in from Debian's packages, once, about a minute (kept in {archive.parent})")
    archive.parent.mkdir(parents=True, exist_ok=True)
    # Not in /tmp: many machines mount it without devices, where debootstrap refuses to work.
    with tempfile.TemporaryDirectory(prefix="standin-", dir=archive.parent) as folder:
        root = Path(folder) / "root"
        command = [
            debootstrap,
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            SUITE,
            str(root),
            machine.mirror(),
        ]
        try:
            run_quietly(command, what=f"building the stand-in from {machine.mirror()}")
        finally:
            # Stopped half-way, debootstrap leaves the machine's own /proc and /sys mounted where all is removed next.
            for mount in ("proc", "sys"):
                subprocess.run(["umount", "--lazy", "--quiet", root / mount], stderr=subprocess.DEVNULL, check=False)
        furnish(root, machine)
        unfinished = archive.with_suffix(".part")
        pack(root, unfinished)
        unfinished.rename(archive)


def furnish(root: Path, machine: Machine) -> None:
    """Make a fresh Debian tree behave like the official image, and reach what this machine reaches."""
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    sources, settings = apt_files(machine)
    (root / "etc/apt/sources.list").write_text(sources)
    (root / "etc/apt/apt.conf.d/90machine").write_text(settings)
    (root / "etc/pip.conf").write_text(pip_conf(machine))
    add_certificates(root, machine.certificates)
    for dropped in DROPPED:
        shutil.rmtree(root / dropped, ignore_errors=True)
    for document in root.glob("usr/share/doc/*/*"):
        if document.name != "copyright" and not document.is_dir():
            document.unlink()
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    for name in ("hostname", "resolv.conf"):
        (root / "etc" / name).unlink(missing_ok=True)


def add_certificates(root: Path, certificates: tuple[str, ...]) -> None:
    """Add those that Debian lacks where update-ca-certificates finds them, so that they outlive its next run."""
    known = set(CERTIFICATE.findall((root / BUNDLE_IN_IMAGE.lstrip("/")).read_text()))
    folder = root / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    for number, certificate in enumerate(sorted(set(certificates) - known)):
        (folder / f"machine-{number}.crt").write_text(certificate + "\n")
    chroot = ["chroot", str(root), "env", f"PATH={PATH_IN_IMAGE}", "update-ca-certificates"]
    run_quietly(chroot, what="adding this machine's certificate authorities to the stand-in")


def apt_files(machine: Machine) -> tuple[str, str]:
    """The texts of sources.list and of apt.conf in the image."""
    sources = "\n".join(line for source in machine.apt_sources for line in source.lines())
    kept = ['APT::Install-Recommends "false";', 'Acquire::Languages "none";', *machine.apt_settings]
    return sources + "\n", "\n".join(kept) + "\n"


def pip_conf(machine: Machine) -> str:
    """The text of pip.conf in the image."""
    settings = {"cert": BUNDLE_IN_IMAGE, "disable-pip-version-check": "true", "root-user-action": "ignore"}
    return "[global]\n" + "".join(
        f"{key} = {value}\n" for key, value in (settings | dict(machine.pip_settings)).items()
    )


def image_changes(machine: Machine, *, key: str) -> list[str]:
    """The Dockerfile instructions that `docker import` applies."""
    bundle = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    environment = {"PATH": PATH_IN_IMAGE, "LANG": "C.UTF-8", **dict.fromkeys(bundle, BUNDLE_IN_IMAGE)}
    if machine.npm_registry:
        environment["NPM_CONFIG_REGISTRY"] = machine.npm_registry
    changes = [f"ENV {name}={value}" for name, value in environment.items()]
    return [*changes, 'CMD ["python3"]', f"LABEL {LABEL}=1 {LABEL}-key={key}"]


def pack(root: Path, archive: Path) -> None:
    """Write the tree as tar.zst, without devices: the engine makes its own."""
    import zstandard

    command = ["tar", "--numeric-owner", "--sort=name", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
    with subprocess.Popen([*command, "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None  # noqa: S101 (for the type checker: it was asked for)
        with archive.open("wb") as target:
            zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(tar.stdout, target)
    if tar.returncode:
        raise SetupFailed(f"packing the stand-in: tar ended with {tar.returncode}")


def import_archive(client: "DockerClient", archive: Path, *, machine: Machine, key: str) -> Any:
    """Load the tree into the engine and return the image."""
    say(f"loading the stand-in image from {archive}")
    answer = client.api.import_image(
        stream_src=True,
        src=unpacked(archive),
        repository="pier-site/standin",
        tag=SUITE,
        changes=image_changes(machine, key=key),
    )
    status = json.loads(answer.strip().splitlines()[-1])
    if "status" not in status:
        raise SetupFailed(f"the Docker engine refused the stand-in image: {status.get('error', answer)}")
    return client.images.get(status["status"])


def unpacked(archive: Path) -> Iterator[bytes]:
    """The tar stream of a tar.zst file."""
    import zstandard

    with archive.open("rb") as source:
        yield from zstandard.ZstdDecompressor().read_to_iter(source, read_size=CHUNK_BYTES)
