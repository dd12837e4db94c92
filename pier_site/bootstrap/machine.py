"""What a build needs to know of this machine to reach packages: apt sources, package indexes, certificate authorities.

Read when a stand-in image is built and written into that image only. Passwords and what only this machine can reach
(local paths, loopback addresses) are left out: hostile code runs in these images.
"""

import configparser
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY_MIRROR = "http://deb.debian.org/debian-security"
APT_KEPT = (
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
    "Acquire::http::",
    "Acquire::https::",
)
PIP_KEPT = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout", "retries", "proxy")
LOOPBACK = ("localhost", "127.", "[::1]", "::1", "0.0.0.0")  # noqa: S104 (an address to leave out, not to bind)


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive and the suites that are taken from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    def lines(self) -> Iterable[str]:
        """In the one-line format of sources.list."""
        return (f"deb {self.uri} {suite} {' '.join(self.components)}".rstrip() for suite in self.suites)


@dataclass(frozen=True, slots=True)
class Machine:
    """The settings that go into a stand-in image."""

    apt_sources: tuple[AptSource, ...]
    apt_settings: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    pip_settings: Mapping[str, str] = field(default_factory=dict)
    npm_registry: str | None = None

    def mirror(self) -> str:
        """The archive that has the suite itself; the first source is that by construction."""
        return self.apt_sources[0].uri


def read_machine(suite: str) -> Machine:
    """Read the settings of this machine for images of that Debian suite."""
    return Machine(
        apt_sources=debian_sources(read_apt_files(Path("/etc/apt")), suite),
        apt_settings=apt_settings(apt_config_dump()),
        certificates=read_certificates(Path(os.environ.get("SSL_CERT_FILE") or CA_BUNDLE)),
        pip_settings=pip_settings(pip_config_files(), os.environ),
        npm_registry=npm_registry([Path("/etc/npmrc"), Path.home() / ".npmrc"], os.environ),
    )


def is_for_images(value: str) -> bool:
    """Whether a setting may go into an image: no path of this machine, no loopback address, no password."""
    if value.startswith(("/", "~", ".", "file:")):
        return False
    parts = urlsplit(value if "//" in value else f"//{value}")
    host = parts.netloc.rpartition("@")[2]
    return "@" not in parts.netloc and not host.startswith(LOOPBACK)


# apt


def read_apt_files(folder: Path) -> list[tuple[str, str]]:
    """Name and text of each file of sources that apt reads."""
    paths = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return [(p.name, p.read_text(errors="replace")) for p in paths if p.suffix in {".list", ".sources"} and p.is_file()]


def debian_sources(files: Iterable[tuple[str, str]], suite: str) -> tuple[AptSource, ...]:
    """This machine's archives of the suite, its updates and its security, the suite's own first; else Debian's."""
    found: list[AptSource] = []
    for name, text in files:
        parsed = parse_deb822(text) if name.endswith(".sources") else parse_one_line(text)
        for source in parsed:
            suites = tuple(s for s in source.suites if s in {suite, f"{suite}-updates", f"{suite}-security"})
            if suites and is_for_images(source.uri) and "main" in source.components:
                found.append(AptSource(source.uri, suites, ("main",)))
    found.sort(key=lambda source: suite not in source.suites)
    if found and suite in found[0].suites:
        return tuple(found)
    return (
        AptSource(DEFAULT_MIRROR, (suite, f"{suite}-updates"), ("main",)),
        AptSource(DEFAULT_SECURITY_MIRROR, (f"{suite}-security",), ("main",)),
    )


def parse_deb822(text: str) -> list[AptSource]:
    """The sources of a `.sources` file (sources.list(5), deb822 style)."""
    sources = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        pairs = (line.partition(":") for line in unfolded.splitlines() if ":" in line)
        fields = {key.strip().lower(): value.split() for key, _, value in pairs}
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        suites, components = tuple(fields.get("suites", [])), tuple(fields.get("components", []))
        sources += [AptSource(uri, suites, components) for uri in fields.get("uris", [])]
    return sources


def parse_one_line(text: str) -> list[AptSource]:
    """The sources of a `.list` file."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            sources.append(AptSource(match[1], (match[2],), tuple(match[3].split())))
    return sources


def apt_config_dump() -> str:
    """All of apt's settings as apt tells them, or nothing where there is no apt."""
    try:
        return subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def apt_settings(dump: str) -> tuple[str, ...]:
    """The lines of `apt-config dump` that say how to reach an archive."""
    kept = []
    for line in dump.splitlines():
        match = re.fullmatch(r'(Acquire::\S+) "(.+)";', line)
        if match and match[1].startswith(APT_KEPT) and is_for_images(match[2]):
            kept.append(line)
    return tuple(kept)


# certificates


def read_certificates(bundle: Path) -> tuple[str, ...]:
    """The certificates of a PEM bundle, without the comments around them; none when it cannot be read."""
    try:
        return tuple(CERTIFICATE.findall(bundle.read_text(errors="replace")))
    except OSError:
        return ()


# package indexes


def pip_config_files() -> list[Path]:
    """Where pip looks for its settings, the weakest first."""
    home, own = Path.home(), os.environ.get("PIP_CONFIG_FILE")
    paths = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
    ]
    return [*paths, *([Path(own)] if own else [])]


def pip_settings(files: Iterable[Path], environ: Mapping[str, str]) -> dict[str, str]:
    """pip's settings that say where packages come from; files first, PIP_* over them, as pip does it."""
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update(parser.items(section))
    found.update({key.removeprefix("PIP_"): value for key, value in environ.items() if key.startswith("PIP_")})
    settings: dict[str, str] = {}
    for key, value in found.items():
        name = key.lower().replace("_", "-")
        words = [word for word in value.split() if is_for_images(word)]
        if name in PIP_KEPT and words:
            settings[name] = " ".join(words)
    return settings


def npm_registry(files: Iterable[Path], environ: Mapping[str, str]) -> str | None:
    """The registry that npm uses here, if it is not npm's own."""
    found = None
    for path in files:
        try:
            match = re.search(r"(?m)^\s*registry\s*=\s*(\S+)", path.read_text(errors="replace"))
        except OSError:
            continue
        found = match[1] if match else found
    found = environ.get("NPM_CONFIG_REGISTRY") or environ.get("npm_config_registry") or found
    return found if found and is_for_images(found) else None
