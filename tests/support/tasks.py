"""Small task directories, written by functions."""

from pathlib import Path

BASE_IMAGE = "python:3.11-slim-bookworm"

TEST_SCRIPT = """#!/bin/bash
if [ -f answer.txt ]; then echo 1 > /logs/verifier/reward.txt; else echo 0 > /logs/verifier/reward.txt; fi
"""


def make_task(
    parent: Path,
    name: str = "write-answer",
    *,
    solve: str = "echo 42 > answer.txt\n",
    test: str = TEST_SCRIPT,
    toml: str = "",
    instruction: str = "Write answer.txt.",
    dockerfile: str = f"FROM {BASE_IMAGE}\nWORKDIR /app\n",
) -> Path:
    """A task whose tests give reward 1 when answer.txt exists. `toml` is added to task.toml."""
    task = parent / name
    for folder in ("environment", "solution", "tests"):
        (task / folder).mkdir(parents=True)
    (task / "task.toml").write_text(f'schema_version = "1.3"\n\n[task]\nname = "tests/{name}"\n{toml or CLOSED}')
    (task / "instruction.md").write_text(instruction)
    (task / "environment" / "Dockerfile").write_text(dockerfile)
    (task / "solution" / "solve.sh").write_text(solve)
    (task / "tests" / "test.sh").write_text(test)
    return task


CLOSED = """
[agent]
timeout_sec = 60.0
network_mode = "no-network"

[verifier]
timeout_sec = 60.0
network_mode = "no-network"

[environment]
network_mode = "no-network"
"""
