"""A client as raw as can be, for the tests of the server: it sees every event, every status and every broken stream."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.model_server.exchange import Json, mappings, text
from tests.support.model_server.server import ModelServer


@dataclass(frozen=True, slots=True)
class Received:
    """What came back. `events` are the data of a stream, parsed but for `[DONE]`; `is_broken` if it never ended."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_broken: bool = False
    events: list[Json] = field(default_factory=list)

    @property
    def json(self) -> Json:
        """The body as an object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def types(self) -> list[str]:
        """The kinds of the events, runs of one kind taken together."""
        kinds = [str(event.get("type")) for event in self.events]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Received:
    """Send one request and read the answer to its end, or until it breaks off.

    Raises:
        http.client.HTTPException, OSError: the connection closed before the answer began.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=20)  # type: ignore[assignment]  # its base class
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        try:
            content, is_broken = answer.read(), False
        except http.client.IncompleteRead as broken:
            content, is_broken = broken.partial, True
        kind = answer.headers.get("Content-Type", "")
        events = _events(content) if "event-stream" in kind else []
        return Received(answer.status, dict(answer.headers.items()), content, is_broken, events)
    finally:
        connection.close()


def post(url: str, body: Json, headers: Mapping[str, str] | None = None) -> Received:
    """Post a JSON object."""
    return request("POST", url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


BASH: Json = {
    "name": "bash",
    "input_schema": {"properties": {"command": {"type": "string"}}, "required": ["command"]},
}


def ask(
    server: ModelServer, scenario: str, *, run: str = "run", said: str = "Fix it", body: Json | None = None
) -> Received:
    """A request in Anthropic's form from an agent that has a shell; `body` adds to it or replaces parts of it."""
    plain: Json = {"model": "m", "messages": [{"role": "user", "content": said}], "tools": [BASH]}
    return post(server.base_url(scenario, run) + "/v1/messages", {**plain, **(body or {})})


def text_of(received: Received) -> str:
    """What an answer to `ask` says."""
    return "".join(text(block.get("text")) for block in mappings(received.json["content"]))


def _events(content: bytes) -> list[Json]:
    """The data of each event; checks that a named event's name is its type."""
    events: list[Json] = []
    for block in content.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" not in fields or fields["data"] == "[DONE]":
            continue
        events.append(json.loads(fields["data"]))
        assert fields.get("event", events[-1].get("type")) == events[-1].get("type")
    return events
