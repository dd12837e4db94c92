"""From a script to the agent's own tools, by their schemas; and that the scenarios are what they say."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_server import (
    SCENARIOS,
    Call,
    Edit,
    Finish,
    ModelServer,
    Raw,
    Read,
    Script,
    Shell,
    SubAgent,
    Turn,
    Usage,
    Wait,
    Write,
)
from tests.support.model_server.client import BASH, ask
from tests.support.model_server.exchange import Json, mapping, mappings, text

READ: Json = {"name": "Read", "input_schema": {"properties": {"file_path": {"type": "string"}}}}
CALCULATOR = Path("examples/tasks/fix-calculator/environment/calculator.py")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def schema(*names: str, **types: str) -> Json:
    """A tool's parameters: strings, and what has another type; the strings are required."""
    properties = {name: {"type": "string"} for name in names} | {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": list(names)}


def called(server: ModelServer, call: Call, *tools: Json, said: str = "Fix it") -> tuple[str, Json]:
    """The name and the arguments with which a call arrives at an agent with these tools."""
    server.add("call", Script((Turn(calls=(call,)),)))
    block = mappings(ask(server, "call", said=said, body={"tools": list(tools)}).json["content"])[0]
    return text(block["name"]), mapping(block["input"])


@pytest.mark.parametrize(
    ("call", "name", "parameters", "arguments"),
    [
        (Read("/a"), "Read", schema("file_path", limit="integer"), {"file_path": "/a"}),
        (Read("/a"), "read", schema("filePath"), {"filePath": "/a"}),
        (Read("/a"), "view", schema("path"), {"path": "/a"}),
        (Shell("ls"), "exec_command", schema("cmd"), {"cmd": "ls"}),
        (Shell("ls"), "shell", schema(command="array"), {"command": ["bash", "-lc", "ls"]}),
        (Shell("ls", "List"), "Bash", schema("command", "description"), {"command": "ls", "description": "List"}),
        (Write("/a", "x"), "create", schema("path", "file_text"), {"path": "/a", "file_text": "x"}),
        (Write("/a", "x"), "write", schema("filePath", "content"), {"filePath": "/a", "content": "x"}),
        (
            Edit("/a", "x", "y"),
            "replace",
            schema("file_path", "old_string", "new_string", "instruction"),
            {"file_path": "/a", "old_string": "x", "new_string": "y", "instruction": "Edit the file"},
        ),
        (
            Edit("/a", "x", "y"),
            "edit",
            schema("path", "old_str", "new_str"),
            {"path": "/a", "old_str": "x", "new_str": "y"},
        ),
        (
            Edit("/a", "x", "y"),
            "apply_patch",
            schema("patchText"),
            {"patchText": "*** Begin Patch\n*** Update File: /a\n@@\n-x\n+y\n*** End Patch\n"},
        ),
        (
            SubAgent("kid", "Look", "Ask"),
            "task",
            schema("description", "prompt", "subagent_type"),
            {"description": "Ask", "prompt": "Look [thread:kid]", "subagent_type": "general"},
        ),
        (
            SubAgent("kid", "Look", "Ask"),
            "invoke_agent",
            schema("agent_name", "prompt"),
            {"agent_name": "generalist", "prompt": "Look [thread:kid]"},
        ),
        (SubAgent("kid", "Look"), "spawn_agent", schema("message"), {"message": "Look [thread:kid]"}),
        (Raw("odd", {"n": [1]}), "odd", {}, {"n": [1]}),
    ],
)
def test_a_call_becomes_the_tool_the_agent_offers(
    server: ModelServer, call: Call, name: str, parameters: Json, arguments: Json
) -> None:
    tool: Json = {"name": name, "input_schema": parameters}
    working = [tool] if name in ("Read", "read", "view") else [READ, tool]
    assert called(server, call, *working) == (name, arguments)


def test_a_tool_is_known_by_its_schema_and_not_by_its_name_alone(server: ModelServer) -> None:
    todo: Json = {"name": "task", "input_schema": schema("title")}
    name, arguments = called(server, SubAgent("kid", "Look"), todo, BASH)
    assert (name, list(arguments)) == ("bash", ["command"])


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (Read("/app/a b.py"), "cat '/app/a b.py'"),
        (Write("/app/a b.py", "it's"), "printf %s 'it'\"'\"'s' > '/app/a b.py'"),
        (SubAgent("kid", "Look"), "echo 'there are no sub-agents here'"),
    ],
)
def test_the_shell_does_what_the_agent_has_no_tool_for(server: ModelServer, call: Call, command: str) -> None:
    assert called(server, call, BASH) == ("bash", {"command": command})


def test_waiting_names_the_children_that_were_started(server: ModelServer) -> None:
    child = "01a1fbe1-51a2-77a2-95fb-4497058a07da"
    wait: Json = {"name": "wait_agent", "input_schema": schema(targets="array", timeout_ms="number")}
    name, arguments = called(server, Wait(), BASH, wait, said=json.dumps({"agent_id": child}))
    assert (name, arguments["targets"]) == ("wait_agent", [child])


def test_the_end_is_said_the_way_the_agent_wants_it(server: ModelServer) -> None:
    submit = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
    mini = called(server, Finish("Fixed."), BASH, said=f"To end, run {submit}")
    assert mini == ("bash", {"command": submit})


def test_the_end_fits_the_schema_of_a_tool_for_it(server: ModelServer) -> None:
    answer: Json = {"properties": {"result": schema("response")}, "required": ["result"]}
    complete: Json = {"name": "complete_task", "input_schema": answer}
    expected = ("complete_task", {"result": {"response": "Fixed."}})
    assert called(server, Finish("Fixed."), BASH, complete) == expected


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_two_turns_of_a_scenario_have_the_same_numbers(name: str) -> None:
    script = SCENARIOS[name]("/app")
    turns = [*script.main, *(turn for child in script.sub_agents.values() for turn in child)]
    outs = [turn.usage.out for turn in (*turns, *script.compaction, script.side)]
    assert len(outs) == len(set(outs))


def test_the_basic_scenario_solves_its_task(tmp_path: Path) -> None:
    shutil.copy(CALCULATOR, tmp_path / "calculator.py")
    exit_codes: list[int] = []
    with ModelServer(workdir=str(tmp_path)) as server:
        for _ in range(7):
            for block in mappings(ask(server, "basic").json["content"]):
                if block["type"] == "tool_use":
                    command = text(mapping(block["input"])["command"])
                    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
                    exit_codes.append(ended.returncode)
        assert server.truth("run").total("main") == Usage(2061, 38610, 5642, 825, 0)
    assert exit_codes == [0, 0, 0, 0, 1, 0, 0]
    test = Path("examples/tasks/fix-calculator/tests/test_calculator.py").read_text()
    (tmp_path / "test_fixed.py").write_text(test.replace("/app/calculator.py", str(tmp_path / "calculator.py")))
    alone = ["-p", "no:cacheprovider", "-p", "no:django", "-c", os.devnull, "--rootdir", str(tmp_path)]
    argv = [sys.executable, "-m", "pytest", "-q", *alone, "test_fixed.py"]
    checked = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
