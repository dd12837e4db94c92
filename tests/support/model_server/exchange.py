"""One request and its answer in words that all faces share; reading JSON that may have any shape."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.support.model_server.script import Fault, Usage

type Json = dict[str, object]

CHARACTERS_PER_EVENT = 14
SIGNATURE = "c2lnbmVk"
"""Base64, as clients expect of thinking signatures and encrypted reasoning."""


def mapping(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Json]:
    """The objects in a list; nothing for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def texts_of(content: object) -> str:
    """The text of a message: a string, or the parts that have one. Results of tools and thoughts aren't text."""
    if isinstance(content, str):
        return content
    parts = [part for part in mappings(content) if not part.get("thought")]
    return "\n".join(text(part.get("text")) for part in parts if part.get("text"))


def pieces(value: str) -> list[str]:
    """The value in the small parts in which a stream brings it."""
    return [value[start : start + CHARACTERS_PER_EVENT] for start in range(0, len(value), CHARACTERS_PER_EVENT)]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the request. `role` is the face's own word: user, assistant, model, developer, system."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the request offers. `kind` says how a call of it is written on the wire."""

    name: str
    parameters: Json = field(default_factory=dict)
    namespace: str | None = None
    kind: Literal["function", "custom", "search"] = "function"

    @property
    def properties(self) -> Json:
        """The JSON schemas of the arguments by name."""
        return mapping(self.parameters.get("properties"))

    @property
    def required(self) -> list[str]:
        """The names of the arguments that must be there."""
        names = self.parameters.get("required")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Whether the model reasons, whether its reasoning may be read, and by which keys the request asked for it."""

    happens: bool
    is_shown: bool
    how: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `response_schema` is there when JSON is wanted; `options` is all but the conversation."""

    api: str
    model: str
    is_streamed: bool
    system: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    reasoning: Reasoning
    response_schema: Json | None = None
    web_tools: tuple[str, ...] = ()
    cache_marks: int = 0
    is_compaction: bool = False
    options: Json = field(default_factory=dict)
    body: Json = field(default_factory=dict)

    @property
    def opening(self) -> str:
        """What was said before the model first spoke."""
        said = []
        for message in self.messages:
            if message.role in ("assistant", "model"):
                break
            said.append(message.text)
        return "\n".join(said)

    @property
    def last_user_text(self) -> str:
        """The newest text of the user."""
        return next(
            (message.text for message in reversed(self.messages) if message.role == "user" and message.text), ""
        )


@dataclass(frozen=True, slots=True)
class NativeCall:
    """A call in the agent's own terms. Arguments that are a string are sent as they stand."""

    id: str
    name: str
    arguments: Json | str
    namespace: str | None = None
    kind: Literal["function", "custom", "search"] = "function"

    @property
    def arguments_text(self) -> str:
        """The arguments as text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent. `reasoning` is what can be read: None where nothing was asked for or the model doesn't reason."""

    id: str
    model: str
    created_at: int
    reasoning: str | None
    reasons: bool
    text: str | None
    calls: tuple[NativeCall, ...]
    usage: Usage
    reports_usage: bool = True

    @property
    def middle(self) -> int:
        """Where a cut falls unless the script says: in the text, or in the arguments of an answer without one."""
        spoken = self.text or "".join(call.arguments_text for call in self.calls)
        return len(self.reasoning or "") + len(spoken) // 2

    @property
    def length(self) -> int:
        """Characters of reasoning, text and arguments."""
        arguments = sum(len(call.arguments_text) for call in self.calls)
        return len(self.reasoning or "") + len(self.text or "") + arguments


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event. `characters` says how much of the answer it carries."""

    data: Json | str
    name: str | None = None
    characters: int = 0

    def encode(self) -> bytes:
        """The event's bytes on the wire."""
        body = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {body}\n\n".encode()


class Face(Protocol):
    """One provider's wire protocol."""

    @property
    def name(self) -> str:
        """What it is called in the record."""

    @property
    def call_prefix(self) -> str:
        """How the ids of its tool calls begin."""

    def asked(self, body: Json, path: str) -> Asked:
        """Read a request; nothing in it may be taken for granted."""

    def shown_reasoning(self, reasoning: str) -> str:
        """The reasoning in the form in which this provider shows it."""

    def whole(self, answer: Answer) -> Json:
        """The answer as one body."""

    def events(self, answer: Answer) -> Iterator[Event]:
        """The answer as a stream."""

    def refusal(self, fault: Fault) -> tuple[int, Json]:
        """Status and body of an error."""

    def stream_error(self, fault: Fault) -> Event:
        """The event that reports an error after the stream has begun."""


def options_of(body: Json, conversation: tuple[str, ...]) -> Json:
    """What the request says beside the conversation and its tools."""
    return {key: value for key, value in body.items() if key not in conversation}


def count_key(value: object, key: str) -> int:
    """How often a key occurs anywhere in a JSON value."""
    if isinstance(value, dict):
        return (key in value) + sum(count_key(item, key) for item in value.values())
    return sum(count_key(item, key) for item in value) if isinstance(value, list) else 0
