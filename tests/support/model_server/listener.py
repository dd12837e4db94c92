"""The HTTP side of the server: requests in, bodies and event streams out, streams that break off or stall, TLS."""

import json
import re
import select
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TextIO, cast
from urllib.parse import parse_qs, urlsplit

from tests.support.model_server.anthropic import Anthropic
from tests.support.model_server.bodies import BadRequest, read_body
from tests.support.model_server.chat import Chat
from tests.support.model_server.conversation import Conversation, Conversations, Reply
from tests.support.model_server.exchange import Event, Face, Json
from tests.support.model_server.gemini import Gemini
from tests.support.model_server.record import facts_of
from tests.support.model_server.responses import Responses
from tests.support.model_server.script import Cut, Fault, Stall

KEEP_ALIVE_SEC = 2.0
WATCH_SEC = 0.1
"""How often a stalled answer looks whether its client is still there."""
FACES: tuple[tuple[re.Pattern[str], Face], ...] = (
    (re.compile(r"/messages$"), Anthropic()),
    (re.compile(r"/responses(/compact)?$"), Responses()),
    (re.compile(r"/chat/completions$"), Chat()),
    (re.compile(r"/models/[^/:]+:(generateContent|streamGenerateContent)$"), Gemini()),
)
COUNTS = {"/count_tokens": "input_tokens", ":countTokens": "totalTokens"}
COUNTED_TOKENS = 5_300
MODELS = ("claude-opus-4-7", "claude-haiku-4-5", "gpt-5.5", "gpt-5-mini", "gemini-3.1-pro-preview")
SECRETS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "proxy-authorization", "cookie")
ADDRESS = re.compile(r"/s/(?P<scenario>[^/]+)/(?P<run>[^/]+)(?P<path>/.*)?")


class ClientGone(Exception):
    """The client closed the connection before the answer was whole."""


class Listener(ThreadingHTTPServer):
    """The listening socket; a thread for each connection, all of which end with it."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        runs: Conversations,
        *,
        delay_sec: float,
        api_key: str | None,
        context: ssl.SSLContext | None,
        log: TextIO | None,
    ) -> None:
        self.runs = runs
        self.delay_sec = delay_sec
        self.api_key = api_key
        self.context = context
        self.log = log
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self._open.discard(cast("socket.socket", request))
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close what is open, so that every thread ends."""
        self.closing.set()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came

    def say(self, line: str) -> None:
        """Write to the log, if there is one."""
        if self.log:
            self.log.write(line + "\n")
            self.log.flush()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Listener

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, *arguments: object) -> None:
        """The server has a log of its own."""

    def do_HEAD(self) -> None:
        if run := self._run():
            run.note(f"HEAD {self._path()}")
        self._send(200, b"")

    def do_GET(self) -> None:
        run = self._run()
        if run is None:
            return self._not_found()
        path = self._path()
        if path == "/__truth":
            return self._send_json(200, run.truth().as_json())
        run.note(f"GET {path}")
        if "websocket" in self.headers.get("Upgrade", "").lower():
            return self._send_json(
                426, {"error": {"message": "WebSocket is not offered", "type": "invalid_request_error"}}
            )
        if path.endswith("/models"):
            return self._send_json(200, _models(path))
        return self._not_found()

    def do_POST(self) -> None:
        try:
            body = read_body(self.headers, self.rfile)
            self._post(body, self._path())
        except BadRequest as error:
            self.close_connection = True
            self._send_json(400, {"error": {"message": str(error), "type": "invalid_request_error"}})

    def _post(self, body: Json, path: str) -> None:
        run = self._run()
        if run is None:
            return self._not_found()
        if path == "/__reset":
            self.server.runs.forget(*self._address()[:2])
            return self._send_json(200, {})
        face = next((face for pattern, face in FACES if pattern.search(path)), None)
        if face is not None:
            return self._converse(run, face, body, path)
        run.note(f"POST {path}")
        key = next((key for ending, key in COUNTS.items() if path.endswith(ending)), None)
        return self._send_json(200, {key: COUNTED_TOKENS}) if key else self._not_found()

    def _converse(self, run: Conversation, face: Face, body: Json, path: str) -> None:
        if self.server.api_key not in (None, self._key()):
            run.note(f"POST {path} with a wrong key")
            return self._send_json(*face.refusal(Fault.AUTH))
        try:
            asked = face.asked(body, path)
        except RecursionError:
            raise BadRequest("The body is nested too deep.") from None
        reply = run.reply(face, asked, facts_of(self.command, path, self._headers(), asked))
        try:
            status = self._answer(run, face, reply, is_streamed=asked.is_streamed)
        except (ClientGone, OSError):
            self.close_connection = True
            status = run.settle(reply, "client-gone")
        return self.server.say(f"{run.run_id} call {reply.call} {face.name} {reply.thread}: {status}")

    def _answer(self, run: Conversation, face: Face, reply: Reply, *, is_streamed: bool) -> str:
        """Send the answer and return its status, which is recorded before the client can have the last byte."""
        if reply.answer is None:
            self._refuse(face, reply.refusal or Fault.SERVER)
            return f"http-error:{reply.refusal}"
        if is_streamed:
            return self._stream(run, face, reply, list(face.events(reply.answer)))
        if isinstance(reply.interruption, Cut):
            run.settle(reply, "stream-dropped-midway")
            self._drop()
            return "stream-dropped-midway"
        if reply.interruption:
            self._stall(run, reply, reply.interruption, keep_alive=False)
        run.settle(reply, "ok")
        is_compacted = isinstance(face, Responses) and self._path().endswith("/compact")
        whole = (
            face.compacted(reply.answer) if isinstance(face, Responses) and is_compacted else face.whole(reply.answer)
        )
        self._send_json(200, whole)
        return "ok"

    def _refuse(self, face: Face, fault: Fault) -> None:
        if fault == Fault.HANG_UP:
            return self._drop()
        status, error = face.refusal(fault)
        return self._send_json(status, error, retry_after="1" if status == 429 else None)

    def _stream(self, run: Conversation, face: Face, reply: Reply, events: list[Event]) -> str:
        self._begin_stream()
        interruption, sent, middle = reply.interruption, 0, reply.answer.middle if reply.answer else 0
        length = sum(event.characters for event in events)
        for index, event in enumerate(events):
            self.server.closing.wait(self.server.delay_sec)
            if index == len(events) - 1:
                run.settle(reply, "ok")
            self._send_chunk(event.encode())
            sent += event.characters
            if interruption is None:
                continue
            wanted = middle if interruption.after_characters is None else interruption.after_characters
            if sent < min(wanted, length):
                continue
            if isinstance(interruption, Cut):
                return self._cut(run, face, reply, interruption)
            self._stall(run, reply, interruption, keep_alive=True)
            interruption = None
        self._send_chunk(b"")
        return "ok"

    def _cut(self, run: Conversation, face: Face, reply: Reply, cut: Cut) -> str:
        status = f"stream-error:{cut.error}" if cut.error else "stream-dropped-midway"
        run.settle(reply, status)
        if cut.error:
            self._send_chunk(face.stream_error(cut.error).encode())
        if cut.error or cut.ends_cleanly:
            self._send_chunk(b"")
        else:
            self._drop()
        return status

    def _stall(self, run: Conversation, reply: Reply, stall: Stall, *, keep_alive: bool) -> None:
        """Say nothing for the time, or until the client leaves or the server closes."""
        run.settle(reply, "stalled-midway")
        watch = select.poll()
        watch.register(self.connection, select.POLLIN)
        begun = spoken = time.monotonic()
        while (now := time.monotonic()) - begun < stall.sec:
            if watch.poll(WATCH_SEC * 1000) or self.server.closing.is_set():
                raise ClientGone
            if keep_alive and now - spoken >= KEEP_ALIVE_SEC:
                self._send_chunk(b": keep-alive\n\n")
                spoken = now

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self._end_headers()

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send_json(self, status: int, body: Json, *, retry_after: str | None = None) -> None:
        self._send(status, json.dumps(body, ensure_ascii=False).encode(), retry_after=retry_after)

    def _send(self, status: int, body: bytes, *, retry_after: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self._end_headers()
        self.wfile.write(body)

    def _end_headers(self) -> None:
        self.send_header("request-id", "req_scripted")
        self.end_headers()

    def _not_found(self) -> None:
        message = f"There is nothing at {self._path()}; a base URL is /s/SCENARIO/RUN-ID with a known scenario."
        self._send_json(404, {"error": {"message": message, "type": "not_found_error"}})

    def _drop(self) -> None:
        """Break the connection as a crash would."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _address(self) -> tuple[str, str, str]:
        match = ADDRESS.fullmatch(urlsplit(self.path).path)
        return (match["scenario"], match["run"], match["path"] or "/") if match else ("", "", self.path)

    def _path(self) -> str:
        """The path without scenario, run and query."""
        return self._address()[2]

    def _run(self) -> Conversation | None:
        scenario, run_id, _ = self._address()
        return self.server.runs.open(scenario, run_id) if run_id else None

    def _headers(self) -> dict[str, str]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {name: "redacted" if name in SECRETS else value for name, value in headers.items()}

    def _key(self) -> str:
        query = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or bearer or query


def _models(path: str) -> Json:
    """A list that satisfies OpenAI's and Anthropic's clients, or Google's."""
    if path.startswith("/v1beta"):
        return {"models": [{"name": f"models/{name}", "displayName": name} for name in MODELS]}
    made: Json = {"object": "model", "type": "model", "created": 1, "created_at": "2026-01-01T00:00:00Z"}
    models = [{"id": name, "display_name": name, "owned_by": "scripted", **made} for name in MODELS]
    return {"object": "list", "data": models, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
