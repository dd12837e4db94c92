"""What a critic gets of one file: its bytes as they are, masked, or nothing. Its name tells how it is looked at."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from gzip import GzipFile
from pathlib import PurePosixPath
from typing import IO, Final

from critique.inputs.masking import Masker, masked_record, masked_settings
from runs.formats.reading import JsonInvalid, parse_json
from runs.formats.template import looks_secret

READ_BYTES: Final = 1024 * 1024
MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024

# Where runners write what they were given, variables too.
_RECORDS: Final = frozenset({"config.json", "result.json", "lock.json", "critique-config.json"})
_SETTINGS: Final = frozenset({".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".properties"})
_CREDENTIALS: Final = frozenset({".netrc", ".npmrc", ".pypirc", ".git-credentials", "id_rsa", "id_ed25519", "id_ecdsa"})
_CREDENTIAL_SUFFIXES: Final = frozenset({".pem", ".p12", ".pfx", ".key"})
# What a step's arguments are called (`key`, `token`) says nothing of secrets.
_TRAJECTORY: Final = re.compile(rb"\"ATIF-v")
_PROBED_BYTES: Final = 4096


class NotGiven(Exception):
    """A file is left out; the message says why, after "because"."""


def masked_content(name: PurePosixPath, file: IO[bytes], masker: Masker, *, is_record: bool) -> Iterator[bytes] | None:
    """The file's content with secrets masked, or None where there are none and it can be given as it is.

    `is_record`: a run wrote it, so values under secret names are masked as well. Raises NotGiven. The iterator reads
    the file while it is consumed; memory is that of a piece, or of a record of `MAX_RECORD_BYTES`.
    """
    if is_record and _holds_credentials(name.name):
        raise NotGiven("it is a file for credentials")
    if name.suffix == ".gz":
        return _of_gzip(file, masker)
    by_name = _by_name(name) if is_record else None
    if by_name is not None:
        before = file.read(MAX_RECORD_BYTES + 1)
        if _is_trajectory(name, before):
            return _as_it_is(file, masker)
        if len(before) <= MAX_RECORD_BYTES:
            after = masker.data(by_name(before))
            return iter([after]) if after != before else None
        if name.name in _RECORDS:
            raise NotGiven(f"it has more than {MAX_RECORD_BYTES:,} bytes and may hold secrets")
    return _as_it_is(file, masker)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(READ_BYTES):
        yield piece


def _is_trajectory(name: PurePosixPath, data: bytes) -> bool:
    if name.name.startswith("trajectory."):
        return True
    return name.name not in _RECORDS and bool(_TRAJECTORY.search(data, 0, _PROBED_BYTES))


def _by_name(name: PurePosixPath) -> Callable[[bytes], bytes] | None:
    """How values under secret names are masked in a file of this name; None: it holds no settings."""
    if name.name.startswith(".env"):
        return lambda data: _settings(data, all_values=True)
    if name.suffix in _SETTINGS:
        return _settings
    return _json if name.suffix == ".json" else None


def _settings(data: bytes, *, all_values: bool = False) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    return masked_settings(text, all_values=all_values).encode("utf-8", "surrogateescape")


def _json(data: bytes) -> bytes:
    """Written anew where something had to be masked. What is no JSON is read line by line."""
    try:
        value = parse_json(data.decode("utf-8-sig", "replace"), lenient=True)
    except JsonInvalid:
        return _settings(data)
    masked = masked_record(value)
    return data if masked == value else json.dumps(masked, indent=2, ensure_ascii=False).encode("utf-8", "replace")


def _of_gzip(file: IO[bytes], masker: Masker) -> Iterator[bytes] | None:
    try:
        if not masker.finds(_unpacked(file)):
            return None
    except (OSError, EOFError, zlib.error):
        # Only its name says that it is packed.
        return _as_it_is(file, masker)
    return _packed(masker.stream(_unpacked(file)))


def _as_it_is(file: IO[bytes], masker: Masker) -> Iterator[bytes] | None:
    return masker.stream(_pieces(file)) if masker.finds(_pieces(file)) else None


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    n_bytes = 0
    with GzipFile(fileobj=file) as unpacked:
        while piece := unpacked.read(READ_BYTES):
            n_bytes += len(piece)
            if n_bytes > MAX_UNPACKED_BYTES:
                raise NotGiven(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
            yield piece


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _holds_credentials(name: str) -> bool:
    """Whether a file of this name is one in which programs keep what they log in with."""
    path = PurePosixPath(name.lower())
    is_named_so = path.suffix in ("", ".json", ".txt", ".db") and looks_secret(path.stem[:100])
    return name in _CREDENTIALS or path.suffix in _CREDENTIAL_SUFFIXES or is_named_so
