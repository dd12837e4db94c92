"""Runs in the sandbox, with the SDK and nothing of Pier Site: one conversation, each step written down at once.

`run.py OPTIONS_FILE`, the instruction on stdin; the key and the base URL come by environment variables.
"""

import asyncio
import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from google.antigravity import Agent, LocalAgentConfig, models, types  # type: ignore[import-untyped]
from google.antigravity.hooks import policy  # type: ignore[import-untyped]

# While a text is streamed, it is written down this often; what ends a step is always written.
STREAM_SEC = 0.5
VARIABLE = re.compile(r"\$\{(\w+)\}")


class Events:
    """The log: a JSON object a line, each with the time at which it was written."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._last: dict[str, tuple[float, str]] = {}

    def write(self, kind: str, **values: Any) -> None:
        """Add a line."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._file.write(json.dumps({"type": kind, "at": at, **values}, ensure_ascii=False, default=str) + "\n")
        self._file.flush()

    def step(self, step: types.Step) -> None:
        """Add a step as it is now, unless it is only a little longer than when it was last written."""
        content = step.model_dump(mode="json", exclude_defaults=True, exclude={"content_delta", "thinking_delta"})
        text = json.dumps(content, sort_keys=True, default=str)
        written_at, written = self._last.get(step.id, (0.0, ""))
        is_streamed = step.status == types.StepStatus.ACTIVE and not step.tool_calls
        now = time.monotonic()
        if text == written or (is_streamed and now - written_at < STREAM_SEC):
            return
        self._last[step.id] = (now, text)
        self.write("step", step=content)


def mcp_server(entry: dict[str, Any]) -> types.McpServerConfig:
    """A tool server; `${NAME}` in its headers is the variable of that name."""
    if entry["transport"] == "stdio":
        return types.McpStdioServer(name=entry["name"], command=entry["command"], args=entry["args"])
    headers = {
        name: VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value)
        for name, value in entry["headers"].items()
    }
    return types.McpStreamableHttpServer(name=entry["name"], url=entry["url"], headers=headers)


def configuration(options: dict[str, Any]) -> LocalAgentConfig:
    """The SDK's configuration for these options."""
    endpoint = models.GeminiAPIEndpoint(
        api_key=os.environ.get("GEMINI_API_KEY"),
        base_url=os.environ.get("GOOGLE_GEMINI_BASE_URL") or None,
        options=models.GeminiModelOptions(thinking_level=models.ThinkingLevel(options["reasoning_effort"])),
    )
    config = LocalAgentConfig(
        models=[types.ModelTarget(name=options["model"], types=[types.ModelType.TEXT], endpoint=endpoint)],
        api_key=os.environ.get("GEMINI_API_KEY"),
        capabilities=types.CapabilitiesConfig(
            disabled_tools=[types.BuiltinTools(name) for name in options["disabled_tools"]]
        ),
        policies=[policy.allow_all()],
        mcp_servers=[mcp_server(entry) for entry in options["mcp_servers"]],
        skills_paths=options["skills_paths"],
        workspaces=[str(Path.cwd())],
        save_dir=options["state_folder"],
        app_data_dir=options["state_folder"],
    )
    # The SDK keeps its file tools within the workspace; the sandbox is the limit here, as for a shell.
    config.policies[:] = [policy.allow_all()]
    return config


async def converse(options: dict[str, Any], instruction: str, events: Events) -> None:
    """Send the instruction and write down each step until nothing is left to do."""
    async with Agent(configuration(options)) as agent:
        conversation = agent.conversation
        await conversation.send(instruction)
        events.write("start", session_id=conversation.conversation_id, model=options["model"])
        async for step in conversation.receive_steps():
            events.step(step)


def main() -> int:
    """Run the conversation; 1 where it failed."""
    options = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    instruction = sys.stdin.buffer.read().decode("utf-8")
    Path(options["state_folder"]).mkdir(parents=True, exist_ok=True)
    with Path(options["events"]).open("a", encoding="utf-8") as file:
        events = Events(file)
        try:
            asyncio.run(converse(options, instruction, events))
        except Exception as error:  # noqa: BLE001 - whatever it was, the log says it
            events.write("end", error=f"{type(error).__name__}: {error}")
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return 1
        events.write("end", error=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
