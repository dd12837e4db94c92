"""A name server of one sandbox that knows one address: allowed names are at its own loopback, all others don't exist.

No question is passed on to anybody, so none can carry anything out.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from runs.sandboxes.egress.listener import Pace, ending_of
from runs.sandboxes.egress.rules import normal_host

NAME_PORT: Final = 53
OWN_RESOLVER: Final = "nameserver 127.0.0.1\n"
"""What resolv.conf says where names are answered."""

# A flood is dropped in the kernel, inside the sandbox.
BURST: Final = 200
QUESTIONS_PER_SEC: Final = 200.0
MAX_QUESTION_BYTES: Final = 512
TTL_SEC: Final = 30

_HEADER: Final = struct.Struct(">6H")
_QUESTION_END: Final = struct.Struct(">2H")
_IS_ANSWER: Final = 0x8000
_KEPT_FLAGS: Final = 0x7900  # what was asked (opcode), and whether for recursion
_RECURSION_AVAILABLE: Final = 0x0080
_NO_SUCH_NAME: Final = 3
_NOT_IMPLEMENTED: Final = 4
_A: Final = 1
_IN: Final = 1
# The name of the question, by its place; then type, class, time to live, and 127.0.0.1.
_ANSWER: Final = struct.pack(">3HIH4B", 0xC000 | _HEADER.size, _A, _IN, TTL_SEC, 4, 127, 0, 0, 1)


class NameServer:
    """Answers on one socket until it is closed."""

    def __init__(self, asked: socket.socket, is_named: Callable[[str], bool]) -> None:
        asked.setblocking(False)
        self._asked = asked
        self._is_named = is_named
        self._pace = Pace(BURST, QUESTIONS_PER_SEC)
        self._task = asyncio.create_task(self._serve())

    @property
    def failure(self) -> str | None:
        """Why nobody answers any more, or None while all is well."""
        return ending_of(self._task)

    async def close(self) -> None:
        """Answer no more."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self._asked.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._pace.keep()
            try:
                question, asker = await loop.sock_recvfrom(self._asked, MAX_QUESTION_BYTES)
                if answer := answer_to(question, self._is_named):
                    await loop.sock_sendto(self._asked, answer, asker)
            except OSError:
                # Who asked has gone again.
                continue


def answer_to(question: bytes, is_named: Callable[[str], bool]) -> bytes | None:
    """The answer to one DNS message, or None for what is no question."""
    if len(question) < _HEADER.size:
        return None
    number, flags, n_questions, *_ = _HEADER.unpack_from(question)
    if flags & _IS_ANSWER:
        return None
    kept = flags & _KEPT_FLAGS | _IS_ANSWER | _RECURSION_AVAILABLE
    read = _question(question) if n_questions == 1 and not flags & 0x7800 else None
    if read is None:
        return _HEADER.pack(number, kept | _NOT_IMPLEMENTED, 0, 0, 0, 0)
    name, kind, end = read
    asked = question[_HEADER.size : end]
    if not _is_known(name, is_named):
        return _HEADER.pack(number, kept | _NO_SUCH_NAME, 1, 0, 0, 0) + asked
    # There is no address of version 6, and that is an answer too.
    answers = _ANSWER if kind == (_A, _IN) else b""
    return _HEADER.pack(number, kept, 1, int(bool(answers)), 0, 0) + asked + answers


def _is_known(name: str, is_named: Callable[[str], bool]) -> bool:
    try:
        return is_named(normal_host(name))
    except ValueError:
        return False


def _question(message: bytes) -> tuple[str, tuple[int, int], int] | None:
    """Name, type and class, and where the question ends; None where it is torn."""
    labels = []
    position = _HEADER.size
    while position < len(message) and (length := message[position]):
        if length > 63:
            return None
        labels.append(message[position + 1 : position + 1 + length])
        position += 1 + length
    end = position + 1 + _QUESTION_END.size
    if end > len(message):
        return None
    kind, family = _QUESTION_END.unpack_from(message, position + 1)
    return b".".join(labels).decode("latin-1"), (kind, family), end
