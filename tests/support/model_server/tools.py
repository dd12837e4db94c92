"""From what a script wants done to a call of the tool that the agent offers for it, by the tool's JSON schema."""

import json
import re
import shlex
from dataclasses import dataclass

from tests.support.model_server.exchange import Asked, Json, NativeCall, Tool, mapping
from tests.support.model_server.script import Call, Edit, FindTools, Finish, Raw, Read, Shell, SubAgent, Wait, Write

SHELL = (
    "Bash",
    "bash",
    "exec_command",
    "run_shell_command",
    "shell_command",
    "shell",
    "execute_bash",
    "terminal",
)
READ = ("Read", "read_file", "read", "view")
WRITE = ("Write", "write_file", "write", "create")
EDIT = ("Edit", "replace", "edit", "apply_patch")
SUB_AGENT = ("Agent", "Task", "task", "spawn_agent", "agent", "invoke_agent")
WAIT = ("wait_agent", "wait")

COMMAND = ("cmd", "command", "script")
PATH = ("file_path", "filePath", "path", "absolute_path")
CONTENT = ("content", "file_text", "contents")
OLD = ("old_string", "oldString", "old_str")
NEW = ("new_string", "newString", "new_str")
PATCH = ("patchText", "patch", "input")
ANSWER = ("result", "response", "answer")
PROMPT = ("prompt", "message", "task")

SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""What mini-swe-agent wants echoed at the end; it says so in its first messages."""
AGENT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
REPLACE = (
    "import pathlib, sys; path = pathlib.Path(sys.argv[1]); "
    "path.write_text(path.read_text().replace(sys.argv[2], sys.argv[3]))"
)
WAIT_MS = 20_000
HELPFUL: dict[str, object] = {"run_in_background": False, "mode": "sync"}
"""Arguments that keep a sub-agent in the foreground, where its tool has them."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """A tool and the arguments for it."""

    tool: Tool
    arguments: Json | str


def works_in_a_sandbox(asked: Asked) -> bool:
    """Whether the request comes from an agent at work: it offers something to run commands or read files with."""
    return any(tool.name in (*SHELL, *READ) or tool.kind == "custom" for tool in asked.tools)


def native_calls(calls: tuple[Call, ...], asked: Asked, id_prefix: str) -> tuple[NativeCall, ...]:
    """The calls as this agent understands them; those that mean nothing to it are left out."""
    chosen = [choice for call in calls if (choice := _choose(call, asked)) is not None]
    return tuple(
        NativeCall(f"{id_prefix}{chr(ord('a') + index)}", tool.name, choice.arguments, tool.namespace, tool.kind)
        for index, choice in enumerate(chosen)
        for tool in (choice.tool,)
    )


def thread_mark(name: str) -> str:
    """What a sub-agent's prompt carries, so that its requests are known again."""
    return f"[thread:{name}]"


def _choose(call: Call, asked: Asked) -> _Choice | None:
    match call:
        case Shell():
            return _shell(call, asked)
        case Read() | Write() | Edit():
            return _file_call(call, asked)
        case SubAgent():
            return _sub_agent(call, asked)
        case Wait():
            return _wait(asked)
        case FindTools():
            return _find_tools(call, asked)
        case Finish():
            return _finish(call, asked)
        case Raw():
            return _raw(call, asked)


def _offered(asked: Asked, names: tuple[str, ...], main: tuple[str, ...] = ()) -> Tool | None:
    """The first tool of these names that has one of the `main` arguments, or that isn't described by a schema."""
    tools = {tool.name: tool for tool in asked.tools}
    fitting = (tools[name] for name in names if name in tools)
    return next((tool for tool in fitting if not tool.properties or _spelling(tool, main)), None)


def _spelling(tool: Tool, spellings: tuple[str, ...]) -> str | None:
    return next((name for name in spellings if name in tool.properties), None)


def _with(tool: Tool, filler: str, *wanted: tuple[tuple[str, ...], object]) -> _Choice:
    """The tool with its arguments in its own spelling; what else it requires gets a value of the right type."""
    arguments: Json = {}
    for spellings, value in wanted:
        name = _spelling(tool, spellings) or (None if tool.properties else spellings[0])
        if name is not None:
            arguments[name] = value
    for name in tool.required:
        arguments.setdefault(name, example_of(mapping(tool.properties.get(name)), filler))
    return _Choice(tool, arguments)


def example_of(schema: Json, filler: str) -> object:
    """The simplest value that a JSON schema allows; `filler` where it wants a string."""
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return options[0]
    for key in ("anyOf", "oneOf"):
        variants = schema.get(key)
        if isinstance(variants, list) and variants:
            return example_of(mapping(variants[0]), filler)
    match schema.get("type"):
        case "object" | "OBJECT":
            return {
                name: example_of(mapping(value), filler) for name, value in mapping(schema.get("properties")).items()
            }
        case "array" | "ARRAY":
            return []
        case "boolean" | "BOOLEAN":
            return False
        case "integer" | "number" | "INTEGER" | "NUMBER":
            return 1
        case _:
            return filler


def _shell(call: Shell, asked: Asked) -> _Choice | None:
    tool = _offered(asked, SHELL, COMMAND)
    if tool is None:
        return None
    name = _spelling(tool, COMMAND)
    is_list = name is not None and mapping(tool.properties.get(name)).get("type") == "array"
    command = ["bash", "-lc", call.command] if is_list else call.command
    return _with(tool, call.description, (COMMAND, command), (("description",), call.description))


def _file_call(call: Read | Write | Edit, asked: Asked) -> _Choice | None:
    match call:
        case Read():
            return _read(call, asked)
        case Write():
            return _write(call, asked)
        case Edit():
            return _edit(call, asked)


def _read(call: Read, asked: Asked) -> _Choice | None:
    tool = _offered(asked, READ, PATH)
    if tool is None:
        return _shell(Shell(f"cat {shlex.quote(call.path)}", "Read the file"), asked)
    return _with(tool, "Read the file", (PATH, call.path))


def _write(call: Write, asked: Asked) -> _Choice | None:
    tool = _offered(asked, WRITE, CONTENT)
    if tool is None:
        command = f"printf %s {shlex.quote(call.content)} > {shlex.quote(call.path)}"
        return _shell(Shell(command, "Write the file"), asked)
    return _with(tool, "Write the file", (PATH, call.path), (CONTENT, call.content))


def _edit(call: Edit, asked: Asked) -> _Choice | None:
    tool = _offered(asked, EDIT, OLD + PATCH)
    if tool is None:
        command = shlex.join(["python3", "-c", REPLACE, call.path, call.old, call.new])
        return _shell(Shell(command, "Edit the file"), asked)
    if tool.kind == "custom":
        return _Choice(tool, _patch(call))
    if _spelling(tool, PATCH):
        return _with(tool, "Edit the file", (PATCH, _patch(call)))
    return _with(tool, "Edit the file", (PATH, call.path), (OLD, call.old), (NEW, call.new))


def _patch(call: Edit) -> str:
    """In the form of `apply_patch`."""
    removed = [f"-{line}" for line in call.old.splitlines()]
    added = [f"+{line}" for line in call.new.splitlines()]
    return "\n".join(["*** Begin Patch", f"*** Update File: {call.path}", "@@", *removed, *added, "*** End Patch", ""])


def _sub_agent(call: SubAgent, asked: Asked) -> _Choice | None:
    tool = _offered(asked, SUB_AGENT, PROMPT)
    if tool is None:
        return _shell(Shell("echo 'there are no sub-agents here'", call.description), asked)
    kind = "general" if "subagent_type" in tool.properties and tool.name == "task" else "general-purpose"
    choice = _with(
        tool,
        call.description,
        (PROMPT, f"{call.prompt} {thread_mark(call.name)}"),
        (("description",), call.description),
        (("subagent_type", "agent_type"), kind),
        (("agent_name",), "generalist"),
        (("task_name", "name"), call.name.replace("-", "_")),
        *(((name,), value) for name, value in HELPFUL.items()),
    )
    if tool.name == "spawn_agent" and isinstance(choice.arguments, dict):
        choice.arguments.pop("agent_type", None)
    return choice


def _wait(asked: Asked) -> _Choice | None:
    tool = _offered(asked, WAIT, ("targets", "ids", "timeout_ms"))
    if tool is None:
        return None
    said = re.findall(rf"agent_id\W{{1,12}}({AGENT_ID.pattern})", json.dumps(asked.body))
    return _with(tool, "", (("targets", "ids"), list(dict.fromkeys(said))), (("timeout_ms",), WAIT_MS))


def _find_tools(call: FindTools, asked: Asked) -> _Choice | None:
    tool = _offered(asked, ("tool_search",), ("query",))
    if tool is None or _offered(asked, SUB_AGENT, PROMPT) is not None:
        return None
    return _with(tool, call.query, (("query",), call.query), (("limit",), 8))


def _finish(call: Finish, asked: Asked) -> _Choice | None:
    if SUBMIT in asked.system + asked.opening:
        return _shell(Shell(f"echo {SUBMIT}", "Submit"), asked)
    tool = _offered(asked, ("complete_task",), ANSWER)
    if tool is None:
        return None
    return _with(tool, call.answer) if tool.required else _with(tool, call.answer, (ANSWER, call.answer))


def _raw(call: Raw, asked: Asked) -> _Choice:
    tool = next((tool for tool in asked.tools if tool.name == call.name), Tool(call.name))
    arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
    return _Choice(tool, arguments)
