"""Critics for tests: command lines that write critique-result.json as a model would, well or badly."""

import json
from pathlib import Path
from typing import Any

from runs.formats.job import AgentConfig

GOOD: dict[str, Any] = {
    "rating": "good",
    "feedback": "The answer was written and the tests saw it.",
    "tags": ["PASS_LEGITIMATE"],
    "claims": [
        {
            "claim": "The tests were passed by the agent's own file.",
            "category": "verifier",
            "severity": "info",
            "citations": [{"file": "task/instruction.md", "quote": "Write answer.txt."}],
        }
    ],
}
OUTPUT = "/logs/artifacts/critique-result.json"


def writes(result: Any) -> str:
    """A command that writes `result` as its output."""
    text = result if isinstance(result, str) else json.dumps(result)
    return f"cat > {OUTPUT} <<'END_OF_RESULT'\n{text}\nEND_OF_RESULT\n"


def critic(command: str, **settings: Any) -> AgentConfig:
    """An agent that runs the command."""
    return AgentConfig(name="command", kwargs={"command": command}, **settings)


def flags(command: str) -> list[str]:
    """The flags of piercritique for the same."""
    return ["-a", "command", "--ak", f"command={json.dumps(command)}"]


def prompt_file(folder: Path, text: str = "Look at {trial_dir} of {source_trial_name}.") -> Path:
    """A prompt's template."""
    path = folder / "prompt.md"
    path.write_text(text)
    return path
