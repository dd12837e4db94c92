"""Bytes that arrive in any pieces, cut into lines and JSON records. It knows nothing of what they mean."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from runs.formats.reading import JsonInvalid, parse_json

type Record = dict[str, Any]

# A line that is longer is passed over: no agent's record is that large, and a hostile one must not fill the memory.
MAX_LINE_BYTES: Final = 32 * 1024 * 1024


@dataclass(slots=True)
class LineCutter:
    """Gives whole lines, whatever the cuts between the pieces; what is left when the file ends comes from `rest`."""

    n_too_long: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _n_held: int = 0
    _skips: bool = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, without their ends."""
        *whole, last = data.split(b"\n")
        for piece in whole:
            line = self._with_held(piece)
            if line is not None:
                yield line.removesuffix(b"\r")
        self._hold(last)

    def rest(self) -> bytes:
        """The last line, which has no end."""
        return self._with_held(b"") or b""

    def _hold(self, piece: bytes) -> None:
        self._n_held += len(piece)
        if self._n_held > MAX_LINE_BYTES:
            self.n_too_long += not self._skips
            self._skips = True
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def _with_held(self, piece: bytes) -> bytes | None:
        self._hold(piece)
        line = None if self._skips else b"".join(self._pieces)
        self._pieces.clear()
        self._n_held, self._skips = 0, False
        return line


def record_of(line: bytes) -> Record | None:
    """The JSON object on a line; None for anything else. Bytes that are not UTF-8 become U+FFFD."""
    text = line.decode(errors="replace").strip()
    if not text.startswith("{"):
        return None
    try:
        value = parse_json(text, lenient=True)
    except (JsonInvalid, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
