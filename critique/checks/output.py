"""What a command of a check prints: looked through as it comes, of whatever length; its beginning and its end kept."""

from collections import deque
from typing import Final

from runs.sandboxes.base import Stream

MAX_KEPT_BYTES: Final = 1024 * 1024
_HEAD_BYTES: Final = MAX_KEPT_BYTES // 4
# Room for the line that says what was cut out.
_TAIL_BYTES: Final = MAX_KEPT_BYTES - _HEAD_BYTES - 100


class Lookout:
    """Sees a text go by in one of the streams."""

    def __init__(self, text: str | None) -> None:
        self._needle = (text or "").encode("utf-8", "surrogatepass")
        self._ends: dict[Stream, bytes] = {}
        self.was_seen = False

    def see(self, stream: Stream, data: bytes) -> None:
        if self.was_seen or not self._needle:
            return
        text = self._ends.get(stream, b"") + data
        self.was_seen = self._needle in text
        self._ends[stream] = text[-(len(self._needle) - 1) :] if len(self._needle) > 1 else b""


class Output:
    """Both streams as they came, within a limit, and whether what is waited for was among them."""

    def __init__(self, *, contains: str | None, lacks: str | None) -> None:
        self.wanted = Lookout(contains)
        self.unwanted = Lookout(lacks)
        self.n_bytes = 0
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0

    def take(self, stream: Stream, data: bytes) -> None:
        """What a sandbox's `on_output` is called with."""
        self.n_bytes += len(data)
        self.wanted.see(stream, data)
        self.unwanted.see(stream, data)
        room = _HEAD_BYTES - len(self._head)
        self._head += data[:room]
        if rest := data[max(0, room) :]:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            while self._tail_bytes - len(self._tail[0]) >= _TAIL_BYTES:
                self._tail_bytes -= len(self._tail.popleft())

    @property
    def is_cut(self) -> bool:
        return self.n_bytes > _HEAD_BYTES + _TAIL_BYTES

    def kept(self) -> bytes:
        """All of it, or its beginning and its end, of 1 MiB together."""
        tail = b"".join(self._tail)
        if not self.is_cut:
            return bytes(self._head) + tail
        n_lost = self.n_bytes - _HEAD_BYTES - _TAIL_BYTES
        return bytes(self._head) + f"\n[{n_lost} bytes are left out here]\n".encode() + tail[-_TAIL_BYTES:]
