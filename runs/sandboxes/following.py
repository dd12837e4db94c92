"""Follows files inside a sandbox while they grow: one small shell loop there, whatever the sandbox is.

What it tells is for the live view and may be forged or stopped by what runs in the sandbox; the files themselves are
copied out at the end and are what counts.
"""

import base64
import binascii
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from runs.sandboxes.base import Sandbox, Stream

INTERVAL_SEC: Final = 0.25
# What one file gives in one round; the rest follows in the next.
MAX_PIECE_BYTES: Final = 4 * 1024 * 1024
MAX_FILES: Final = 200
MAX_LINE_BYTES: Final = 2 * MAX_PIECE_BYTES

# Prints `name offset data` a line, name and data in base64; a rewritten file is sent whole, with offset `=`, whenever
# its checksum differs. Only what sh, wc, tail, head, cksum and base64 of any distribution have.
SCRIPT: Final = """
cd "$1" || exit 1
n=0
find_index() {
  i=0
  while [ "$i" -lt "$n" ]; do
    eval "known=\\$name$i"
    [ "$known" = "$1" ] && return 0
    i=$((i + 1))
  done
  [ "$n" -lt LIMIT ] || return 1
  eval "name$n=\\$1 offset$n=0 sum$n="
  i=$n
  n=$((n + 1))
}
while :; do
  for file in GROWING; do
    [ -f "$file" ] && [ ! -L "$file" ] && find_index "$file" || continue
    eval "offset=\\$offset$i"
    size=$(wc -c < "$file") || continue
    size=$((size))
    [ "$size" -gt "$offset" ] || continue
    [ $((size - offset)) -le PIECE ] || size=$((offset + PIECE))
    echo "$(printf %s "$file" | base64 | tr -d '\\n') $offset $(tail -c +$((offset + 1)) "$file" | head -c $((size - offset)) | base64 | tr -d '\\n')"
    eval "offset$i=$size"
  done
  for file in REWRITTEN; do
    [ -f "$file" ] && [ ! -L "$file" ] && find_index "$file" || continue
    eval "sum=\\$sum$i"
    now=$(cksum < "$file") || continue
    [ "$now" = "$sum" ] && continue
    size=$(wc -c < "$file") || continue
    [ "$size" -le PIECE ] || continue
    echo "$(printf %s "$file" | base64 | tr -d '\\n') = $(base64 < "$file" | tr -d '\\n')"
    eval "sum$i=\\$now"
  done
  sleep INTERVAL || sleep 1
done
"""  # noqa: E501


class Receiver(Protocol):
    """Who takes the pieces. `offset` is where in the file they begin, None for a rewritten file's whole content."""

    def __call__(self, path: str, offset: int | None, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Followed:
    """Which files below a folder are followed: shell patterns whose `*` stays within one name."""

    growing: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()


async def follow(sandbox: Sandbox, folder: str, files: Followed, receive: Receiver) -> None:
    """Tell `receive` of every piece that the files below `folder` get, until cancelled or the loop is ended there.

    Pieces of one file come in order and without gaps. Raises SandboxFailed.
    """
    lines = _Lines(receive)

    def on_output(stream: Stream, data: bytes) -> None:
        if stream == "stdout":
            lines.take(data)

    command = f"exec sh -c {shlex.quote(_script(files))} follow {shlex.quote(folder)}"
    await sandbox.exec(command, user="root", cwd="/", on_output=on_output)


def _script(files: Followed) -> str:
    words = {
        "LIMIT": str(MAX_FILES),
        "PIECE": str(MAX_PIECE_BYTES),
        "INTERVAL": str(INTERVAL_SEC),
        "GROWING": " ".join(map(_pattern, files.growing)) or "''",
        "REWRITTEN": " ".join(map(_pattern, files.rewritten)) or "''",
    }
    script = SCRIPT
    for word, value in words.items():
        script = script.replace(word, value)
    return script


def _pattern(pattern: str) -> str:
    """A shell pattern with everything quoted but its stars."""
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))


class _Lines:
    """Cuts what the loop prints into lines, each with one piece; anything else is dropped."""

    def __init__(self, receive: Callable[[str, int | None, bytes], None]) -> None:
        self._receive = receive
        self._held = bytearray()

    def take(self, data: bytes) -> None:
        self._held += data
        if b"\n" not in data:
            if len(self._held) > MAX_LINE_BYTES:
                self._held.clear()
            return
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        self._give(lines)

    def _give(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                name, offset, data = line.split(b" ")
                path = base64.b64decode(name, validate=True).decode()
                piece = base64.b64decode(data, validate=True)
                self._receive(path, None if offset == b"=" else int(offset), piece)
            except (ValueError, binascii.Error):
                continue
