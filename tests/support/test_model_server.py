"""The scripted model server as tests use it: runs, threads, faults, stalls, tools by schema, and the truth."""

import asyncio
import gzip
import http.client
import io
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.support.internet import make_authority
from tests.support.model_server import (
    Cut,
    Fault,
    ModelServer,
    Script,
    Shell,
    Stall,
    SubAgent,
    Turn,
    Wait,
    conversation,
)
from tests.support.model_server.bodies import MAX_BODY_BYTES
from tests.support.model_server.client import BASH, Received, ask, post, request, text_of
from tests.support.model_server.exchange import Json, mapping, mappings, text

CALCULATOR = Path("examples/tasks/fix-calculator/environment/calculator.py")
TALK = Script((Turn(text="one"), Turn(text="two"), Turn(text="three")))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        server.add("talk", TALK)
        yield server


def test_each_run_has_its_own_place_in_the_script(server: ModelServer) -> None:
    assert [text_of(ask(server, "talk", run=run)) for run in ("a", "a", "b")] == ["one", "two", "one"]
    assert [call.text for call in server.truth("a").calls] == ["one", "two"]


def test_after_its_end_the_last_turn_is_repeated_and_marked(server: ModelServer) -> None:
    assert [text_of(ask(server, "talk")) for _ in range(5)] == ["one", "two", "three", "three", "three"]
    assert [call.is_repeat for call in server.truth("run").calls] == [False, False, False, True, True]


def test_a_run_begins_anew_after_a_reset(server: ModelServer) -> None:
    ask(server, "talk")
    post(server.base_url("talk", "run") + "/__reset", {})
    assert text_of(ask(server, "talk")) == "one"


def test_a_run_that_never_asked_has_no_truth(server: ModelServer) -> None:
    with pytest.raises(LookupError, match="'nobody'"):
        server.truth("nobody")


def test_the_truth_is_in_the_form_of_the_golden_logs(server: ModelServer) -> None:
    ask(server, "basic", body={"thinking": {"type": "adaptive"}})
    truth = request("GET", server.base_url("basic", "run") + "/__truth").json
    call = mappings(truth["calls"])[0]
    assert [*call] == ["call", "time", "thread", "model", "status", "reasoning", "text", "tool_calls", "usage"]
    assert call["usage"] == {"uncached": 1201, "read": 0, "write": 4099, "out": 157, "reasoning": 61}
    assert mapping(mapping(truth["totals_of_ok_calls_by_thread"])["main"])["calls"] == 1


def test_a_fault_does_not_use_its_turn_up(server: ModelServer) -> None:
    server.add("faults", Script((Turn(text="one", errors=(Fault.OVERLOADED, Fault.SERVER)), Turn(text="two"))))
    assert [ask(server, "faults").status for _ in range(4)] == [529, 500, 200, 200]
    truth = server.truth("run")
    assert [call.turn for call in truth.calls] == [0, 0, 0, 1]
    assert truth.errors == 2
    assert [call.text for call in truth.answered("main")] == ["one", "two"]


def test_a_fault_can_last_for_ever(server: ModelServer) -> None:
    server.add("faults", Script((Turn(text="one", errors=(Fault.CONTEXT,), last_error_repeats=True),)))
    assert {ask(server, "faults").status for _ in range(5)} == {400}


def test_a_script_can_refuse_everything(server: ModelServer) -> None:
    assert ask(server, "auth").status == 401
    assert ask(server, "auth", body={"tools": []}).status == 401


def test_a_connection_can_close_without_an_answer(server: ModelServer) -> None:
    server.add("silent", Script((Turn(text="one", errors=(Fault.HANG_UP,)),)))
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "silent")
    assert text_of(ask(server, "silent")) == "one"


@pytest.mark.parametrize(("after", "sent"), [(0, ""), (20, "a" * 28), (None, "a" * 56), (10_000, "a" * 100)])
def test_a_stream_breaks_off_after_so_many_characters(server: ModelServer, after: int | None, sent: str) -> None:
    server.add("cut", Script((Turn(text="a" * 100, errors=(Cut(after),)),)))
    received = ask(server, "cut", body={"stream": True})
    assert received.is_broken
    assert "".join(text(mapping(event.get("delta")).get("text")) for event in received.events) == sent
    assert received.events[-1]["type"] != "message_stop"
    assert not ask(server, "cut", body={"stream": True}).is_broken
    assert server.truth("run").counts == {"stream-dropped-midway": 1, "ok": 1}


def test_a_stream_can_end_early_as_if_it_were_whole(server: ModelServer) -> None:
    server.add("cut", Script((Turn(text="a" * 100, errors=(Cut(ends_cleanly=True),)),)))
    received = ask(server, "cut", body={"stream": True})
    assert not received.is_broken
    assert received.events[-1]["type"] == "content_block_delta"


def test_a_cut_can_fall_into_the_arguments_of_a_call(server: ModelServer) -> None:
    server.add("cut", Script((Turn(text="text", calls=(Shell("echo " + "x" * 60),), errors=(Cut(30),)),)))
    last = ask(server, "cut", body={"stream": True}).events[-1]
    assert mapping(last["delta"])["type"] == "input_json_delta"


def test_a_stall_keeps_the_stream_open_and_goes_on(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.model_server.listener.KEEP_ALIVE_SEC", 0.1)
    server.add("slow", Script((Turn(text="a" * 40, stall=Stall(0.4)),)))
    received = ask(server, "slow", body={"stream": True})
    assert received.body.count(b": keep-alive") >= 2
    assert received.events[-1]["type"] == "message_stop"
    assert server.truth("run").counts == {"ok": 1}


def test_a_client_that_leaves_a_stall_gets_the_same_turn_again() -> None:
    log = io.StringIO()
    body = json.dumps({"tools": [BASH], "messages": [], "stream": True}).encode()
    head = f"POST /s/slow/run/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with ModelServer(log=log) as server:
        server.add("slow", Script((Turn(text="one", stall=Stall(1)), Turn(text="two"))))
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(head.encode() + body)
            until(lambda: server.truth("run").counts == {"stalled-midway": 1})
        until(lambda: "run call 1 anthropic main: stalled-midway" in log.getvalue())
        assert text_of(ask(server, "slow")) == "one"
        assert server.truth("run").counts == {"stalled-midway": 1, "ok": 1}


def test_closing_the_server_ends_what_stalls() -> None:
    with ModelServer() as server:
        server.add("slow", Script((Turn(text="one", stall=Stall(60)),)))
        outcome: list[bool] = []
        asking = threading.Thread(target=lambda: outcome.append(ask(server, "slow", body={"stream": True}).is_broken))
        asking.start()
        until(lambda: server.truth("run").counts == {"stalled-midway": 1})
        begun = time.monotonic()
    asking.join(5)
    assert outcome == [True]
    assert time.monotonic() - begun < 5


def until(claim: object, limit_sec: float = 5.0) -> None:
    """Wait for a claim to hold; a run that hasn't asked yet makes no claim true."""
    assert callable(claim)
    deadline = time.monotonic() + limit_sec
    while time.monotonic() < deadline:
        try:
            if claim():
                return
        except LookupError:
            pass
        time.sleep(0.01)
    raise AssertionError("it did not come true")


def test_a_request_without_tools_is_a_side_call(server: ModelServer) -> None:
    assert text_of(ask(server, "talk", body={"tools": []})) == "Fix the calculator"
    assert text_of(ask(server, "talk")) == "one"
    assert server.truth("run").threads == ["side", "main"]


def test_a_script_may_talk_to_clients_without_tools(server: ModelServer) -> None:
    server.add("bare", Script((Turn(text="one"),), main_needs_tools=False))
    assert text_of(ask(server, "bare", body={"tools": []})) == "one"


def test_an_answer_in_json_fits_the_schema(server: ModelServer) -> None:
    properties = {"title": {"type": "string"}, "is_new": {"type": "boolean"}, "score": {"type": "integer"}}
    output = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": properties}}}
    answer = json.loads(text_of(ask(server, "talk", body={"tools": [], "output_config": output})))
    assert answer == {"title": "Fix the calculator", "is_new": False, "score": 1}


def test_sub_agents_have_threads_of_their_own(server: ModelServer) -> None:
    children = {"left": (Turn(text="left one"), Turn(text="left two")), "right": (Turn(text="right one"),)}
    main = (Turn(calls=(SubAgent("left", "Look"), SubAgent("right", "Look too"))), Turn(text="Done."))
    server.add("family", Script(main, children))
    agent = {"name": "Agent", "input_schema": {"properties": {key: {} for key in ("prompt", "run_in_background")}}}
    started = mappings(ask(server, "family", body={"tools": [BASH, agent]}).json["content"])
    left, right = (mapping(block["input"]) for block in started)
    assert left["run_in_background"] is False
    assert text_of(ask(server, "family", said=text(left["prompt"]))) == "left one"
    assert text_of(ask(server, "family", said=text(right["prompt"]))) == "right one"
    assert text_of(ask(server, "family", said=text(left["prompt"]))) == "left two"
    assert text_of(ask(server, "family")) == "Done."
    assert server.truth("run").threads == ["main", "sub:left", "sub:right"]


def test_what_the_parent_hears_of_its_child_stays_in_the_parent_s_thread(server: ModelServer) -> None:
    server.add("family", Script((Turn(text="mine"),), {"left": (Turn(text="the child's"),)}))
    echoed = [{"type": "tool_result", "tool_use_id": "x", "content": [{"type": "text", "text": "[thread:left]"}]}]
    talk = [
        {"role": "user", "content": "Fix it"},
        {"role": "assistant", "content": "I ask [thread:left]"},
        {"role": "user", "content": echoed},
    ]
    assert text_of(ask(server, "family", body={"messages": talk})) == "mine"


@pytest.mark.parametrize("phrase", conversation.SUMMARY_REQUESTS)
def test_a_request_for_a_summary_is_a_compaction(server: ModelServer, phrase: str) -> None:
    ask(server, "talk")
    assert "<summary>" in text_of(ask(server, "talk", said=f"Please: {phrase}!"))
    assert text_of(ask(server, "talk")) == "two"
    assert server.truth("run").threads == ["main", "compact"]


def test_a_turn_that_means_nothing_to_the_agent_is_passed_over(server: ModelServer) -> None:
    server.add("waits", Script((Turn(calls=(Wait(),)), Turn(text="two"))))
    assert text_of(ask(server, "waits")) == "two"


def test_facts_of_the_request_are_kept_and_secrets_are_not(server: ModelServer) -> None:
    url = server.base_url("talk", "run") + "/v1/messages?key=sk-query"
    mark = {"cache_control": {"type": "ephemeral"}}
    body: Json = {"model": "m", "max_tokens": 9, "tools": [BASH, {"type": "web_search_20250305", "name": "web_search"}]}
    body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "Fix it", **mark}]}]
    post(url, body, {"x-api-key": "sk-secret", "Authorization": "Bearer sk-secret", "X-Team": "blue"})
    facts = server.truth("run").calls[0].facts
    assert facts.headers["x-team"] == "blue"
    assert facts.headers["x-api-key"] == facts.headers["authorization"] == "redacted"
    assert "sk-" not in repr(facts)
    assert (facts.tools, facts.web_tools, facts.cache_marks) == (("bash",), ("web_search_20250305",), 1)
    assert json.loads(facts.options) == {"model": "m", "max_tokens": 9}
    assert facts.last_user_text == "Fix it"


@pytest.mark.parametrize(
    ("header", "value"), [("x-api-key", "right"), ("Authorization", "Bearer right"), ("x-goog-api-key", "right")]
)
def test_a_key_can_be_demanded(header: str, value: str) -> None:
    with ModelServer(api_key="right") as server:
        url = server.base_url("basic", "run") + "/v1/messages"
        assert post(url, {"tools": [BASH]}).status == 401
        assert post(url, {"tools": [BASH]}, {header: value + "?"}).status == 401
        assert post(url, {"tools": [BASH]}, {header: value}).status == 200
        assert post(url + "?key=right", {"tools": [BASH]}).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_is_read(server: ModelServer, encoding: str) -> None:
    plain = json.dumps({"tools": [BASH], "messages": [{"role": "user", "content": "é"}]}).encode()
    packed = gzip.compress(plain) if encoding == "gzip" else zstandard.compress(plain)
    url = server.base_url("talk", "run") + "/v1/messages"
    assert text_of(request("POST", url, packed, {"Content-Encoding": encoding})) == "one"
    assert server.truth("run").calls[0].facts.last_user_text == "é"


def test_a_body_in_chunks_is_read(server: ModelServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = b"POST /s/talk/run/v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head + b'9\r\n{"model":\r\n5\r\n"xy"}\r\n0\r\n\r\n')
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert server.truth("run").calls[0].model == "xy"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[1]", {}),
        (b"{", {}),
        (b"\xff\xfe", {}),
        (b"{}", {"Content-Encoding": "gzip"}),
        (b"{}", {"Content-Encoding": "zstd"}),
        (b"", {"Content-Length": str(MAX_BODY_BYTES + 1)}),
        (b"", {"Content-Length": "many"}),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, {}),
    ],
    ids=["list", "torn", "bytes", "not-gzip", "not-zstd", "too-large", "no-number", "deep"],
)
def test_a_body_that_is_no_object_is_refused(server: ModelServer, body: bytes, headers: dict[str, str]) -> None:
    received = request("POST", server.base_url("talk", "run") + "/v1/messages", body, headers)
    assert received.status == 400
    assert "body" in text(mapping(received.json["error"])["message"])


@pytest.mark.parametrize("path", ["messages", "responses", "chat/completions", "models/m:generateContent"])
@pytest.mark.parametrize("junk", [None, 1, "x", [], [None], {}, [{"type": []}], [{"content": [1, {"text": 2}]}]])
def test_a_request_of_any_shape_is_answered(server: ModelServer, path: str, junk: object) -> None:
    keys = (
        "model",
        "messages",
        "input",
        "contents",
        "system",
        "instructions",
        "tools",
        "thinking",
        "reasoning",
        "text",
    )
    body = dict.fromkeys((*keys, "stream", "systemInstruction", "generationConfig", "output_config"), junk)
    assert post(f"{server.base_url('talk', 'run')}/v1/{path}", body).status == 200


def test_old_runs_make_room_for_new_ones(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_RUNS", 2)
    for run in ("a", "b", "a", "c"):
        ask(server, "talk", run=run)
    assert len(server.truth("a").calls) == 2
    with pytest.raises(LookupError):
        server.truth("b")


def test_calls_beyond_the_limit_are_only_counted(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_CALLS", 2)
    assert [text_of(ask(server, "talk")) for _ in range(3)] == ["one", "two", "three"]
    truth = server.truth("run")
    assert (len(truth.calls), truth.unrecorded) == (2, 1)


def test_each_event_can_be_delayed() -> None:
    with ModelServer(delay_sec=0.02) as server:
        begun = time.monotonic()
        received = ask(server, "basic", body={"stream": True})
        assert time.monotonic() - begun >= 0.02 * len(received.events)


def test_it_speaks_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    with ModelServer(context=authority.context("llm.test")) as server:
        base = server.base_url("basic", "run")
        assert base.startswith("https://127.0.0.1:")
        trusting.check_hostname = False
        assert request("POST", base + "/v1/messages", b"{}", context=trusting).status == 200
        with pytest.raises(ssl.SSLError):
            request("POST", base + "/v1/messages", b"{}", context=ssl.create_default_context())


def test_many_runs_are_served_at_once(server: ModelServer) -> None:
    async def ask_all() -> list[Received]:
        return await asyncio.gather(*(asyncio.to_thread(ask, server, "talk", run=f"run-{n}") for n in range(40)))

    assert {text_of(received) for received in asyncio.run(ask_all())} == {"one"}


def test_it_can_be_run_by_hand() -> None:
    argv = [sys.executable, "-m", "tests.support.model_server", "--port", "0", "--delay-ms", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2].replace("SCENARIO", "basic").replace("RUN-ID", "by-hand")
        assert "overflow-loop" in process.stdout.readline()
        process.stdout.readline()
        assert post(address + "/v1/messages", {"tools": [BASH]}).status == 200
        assert process.stdout.readline() == "by-hand call 1 anthropic main: ok\n"
        process.terminate()
