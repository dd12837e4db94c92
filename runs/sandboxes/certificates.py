"""The certificate authorities that this machine trusts beyond the public ones: a company's proxy, most often.

Images are given these, and only these. A machine that trusts just what everybody trusts changes no image.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import certifi
from django.conf import settings

from runs.errors import InputInvalid

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
# Where programs are told to look: OpenSSL and what is built on it, Python's requests and pip, Node, curl, git.
VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
# Programs that have a list of their own and don't look into the system's store unless they are told to.
WITH_OWN_LIST = ("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT")
# In the environment of the runner these name what its machine trusts.
MACHINE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
# The system store of Debian and Alpine, of Fedora and its like, of SUSE.
STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
# What distributions ship as Mozilla's list, which may be older or newer than certifi's.
DISTRIBUTIONS = ("/usr/share/ca-certificates", "/usr/share/pki/ca-trust-source", "/usr/share/pki/trust")
NOTHING_EXTRA = "none"
MAX_FILE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Authorities:
    """The authorities that images are given, as PEM, and everything that the machine trusts, for images without any."""

    private: tuple[str, ...]
    bundle: str

    def digest(self) -> str:
        """Changes with the private ones alone: an update of the public list makes no image anew."""
        return hashlib.sha256("\n".join(self.private).encode()).hexdigest()[:24]


def authorities() -> Authorities | None:
    """What PIER_EXTRA_CA_BUNDLE names, else the machine's own; None where there is nothing private.

    Raises InputInvalid when that file holds no certificate.
    """
    return _authorities(str(settings.PIER_EXTRA_CA_BUNDLE), tuple(os.environ.get(name) for name in MACHINE_VARIABLES))


@cache
def _authorities(extra: str, named: tuple[str | None, ...]) -> Authorities | None:
    if extra == NOTHING_EXTRA:
        return None
    if extra:
        found = read_certificates(Path(extra).expanduser())
        if not found:
            raise InputInvalid(f"PIER_EXTRA_CA_BUNDLE: {extra} is no readable file with PEM certificates")
    else:
        places = dict.fromkeys((*filter(None, named), *STORES))
        found = {name: text for place in places for name, text in read_certificates(Path(place)).items()}
    public = _public()
    private = tuple(text for name, text in sorted(found.items()) if name not in public)
    return Authorities(private, "\n".join(sorted({**public, **found}.values())) + "\n") if private else None


def read_certificates(path: Path) -> dict[str, str]:
    """The certificates of a PEM file by their digest; none when it cannot be read."""
    try:
        with path.open(errors="replace") as file:
            return certificates_in(file.read(MAX_FILE_BYTES))
    except OSError:
        return {}


def certificates_in(text: str) -> dict[str, str]:
    """The certificates of a text by their digest, each in one way of writing it."""
    found: dict[str, str] = {}
    for block in CERTIFICATE.findall(text):
        try:
            content = base64.b64decode("".join(block.split()), validate=True)
        except (binascii.Error, ValueError):
            continue
        lines = base64.encodebytes(content).decode().replace("\n", "")
        wrapped = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
        digest = hashlib.sha256(content).hexdigest()
        found[digest] = f"-----BEGIN CERTIFICATE-----\n{wrapped}\n-----END CERTIFICATE-----"
    return found


@cache
def _public() -> Mapping[str, str]:
    """What everybody trusts: certifi's list, and that of this machine's distribution."""
    return {name: text for path in _public_files() for name, text in read_certificates(path).items()}


def _public_files() -> Iterable[Path]:
    yield Path(certifi.where())
    for folder in map(Path, DISTRIBUTIONS):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def variables(store: str) -> dict[str, str]:
    """The environment that leads programs to a bundle at this path."""
    return dict.fromkeys(VARIABLES, store)
