"""What a scripted model says: turns of reasoning, text, calls and usage, and what goes wrong on the way.

Abstract on purpose: `Read("/app/a.py")` becomes whatever tool for reading the agent offers (`tools.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. All input is `uncached` + `read` + `write`; `out` contains `reasoning`."""

    uncached: int
    read: int = 0
    write: int = 0
    out: int = 0
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All input tokens: uncached, read from and written to the cache."""
        return self.uncached + self.read + self.write


@dataclass(frozen=True, slots=True)
class Shell:
    """Run a command line."""

    command: str
    description: str = "Run a command"


@dataclass(frozen=True, slots=True)
class Read:
    """Read a file by its absolute path."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write a whole file."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace whole lines `old`, which occur once, by `new`. Some agents refuse to edit what they haven't read."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class SubAgent:
    """Start a sub-agent; its requests follow the script's `sub_agents[name]`. One name for each child."""

    name: str
    prompt: str
    description: str = "Ask a sub-agent"


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for sub-agents, where the agent has a tool for that; else nothing."""


@dataclass(frozen=True, slots=True)
class FindTools:
    """Look for tools for sub-agents, where the agent hides them behind a search; else nothing."""

    query: str = "spawn sub-agent collaboration"


@dataclass(frozen=True, slots=True)
class Finish:
    """End the task, where the agent wants a call for that (mini-swe-agent, Gemini's sub-agents); else nothing."""

    answer: str = "Done."


@dataclass(frozen=True, slots=True)
class Raw:
    """A call as it is, whether the agent offers the tool or not; a string is sent as it stands, valid JSON or not."""

    name: str
    arguments: Mapping[str, object] | str


type Call = Shell | Read | Write | Edit | SubAgent | Wait | FindTools | Finish | Raw


class Fault(StrEnum):
    """A request that is refused. Status and words are the provider's own (see each face)."""

    OVERLOADED = "overloaded"
    SERVER = "500"
    UNAVAILABLE = "503"
    RATE_LIMIT = "429"
    AUTH = "401"
    CONTEXT = "400-context"
    HANG_UP = "hang-up"
    """The connection closes without an answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream that breaks off. Without a number: in the middle of the text, or of the arguments if there is no text.

    `after_characters` counts reasoning, text and arguments in the order sent. With `error` the provider's error event
    comes first; `ends_cleanly` closes the HTTP response properly, so that only the missing last events tell of it.
    """

    after_characters: int | None = None
    error: Fault | None = None
    ends_cleanly: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """A stream that says nothing but keep-alive comments for a time and then goes on. Position as in `Cut`."""

    sec: float
    after_characters: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model. `errors` come first, one for each request, and don't use the turn up.

    A turn whose calls all mean nothing to the agent, and that has no text, is passed over.
    """

    text: str | None = None
    calls: tuple[Call, ...] = ()
    usage: Usage = Usage(uncached=1, out=1)
    reasoning: str | None = None
    errors: tuple[Fault | Cut, ...] = ()
    last_error_repeats: bool = False
    stall: Stall | None = None


SUMMARY = Turn(
    text="<summary>\nThe file is read and changed. Next: check the result and report.\n</summary>",
    usage=Usage(uncached=907, read=180_001, write=401, out=211),
)
SIDE = Turn(text="Fix the calculator", usage=Usage(uncached=53, out=7))


@dataclass(frozen=True, slots=True)
class Script:
    """What the model says in each thread of a run. After its end a thread's last turn is said again and again.

    A request that offers no tool is a side call (a title, a classification) unless `main_needs_tools` is false.
    `refuses_all` is the answer to every request of every thread.
    """

    main: tuple[Turn, ...]
    sub_agents: Mapping[str, tuple[Turn, ...]] = field(default_factory=dict)
    compaction: tuple[Turn, ...] = (SUMMARY,)
    side: Turn = SIDE
    main_needs_tools: bool = True
    refuses_all: Fault | None = None

    def turns(self, thread: str) -> tuple[Turn, ...]:
        """The turns of `main`, `compact`, `side` or `sub:NAME`."""
        if thread.startswith("sub:"):
            return self.sub_agents[thread.removeprefix("sub:")]
        return {"main": self.main, "compact": self.compaction, "side": (self.side,)}[thread]
