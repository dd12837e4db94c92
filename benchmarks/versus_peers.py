"""The same sixteen trivial trials, eight at a time, by Pier and by `pierrun`, in turn. Aim: a fifth of Pier's time.

Wall time of the whole command: its start, planning, images that are built already, trials, removal.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.peers.venvs import PEERS, QUIET, installed

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
TRIALS, CONCURRENT = 16, 8
REPETITIONS = 3

TASK_TOML = """schema_version = "1.1"
[task]
name = "peers/{name}"
[agent]
timeout_sec = 120.0
[verifier]
timeout_sec = 60.0
[environment]
build_timeout_sec = 300.0
cpus = 1
memory_mb = 1024
storage_mb = 4096
allow_internet = true
workdir = "/app"
"""
TEST = """#!/bin/bash
if [ "$(cat /app/out.txt 2>/dev/null)" = {number} ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
"""


def write_tasks(folder: Path) -> Path:
    """Tasks whose solution writes one line to a file and whose test compares it."""
    for number in range(TRIALS):
        task = folder / f"trivial-{number:02d}"
        files = {
            "task.toml": TASK_TOML.format(name=task.name),
            "instruction.md": f"Write {number} to /app/out.txt\n",
            "environment/Dockerfile": "FROM python:3.11-slim-bookworm\nWORKDIR /app\n",
            "solution/solve.sh": f"#!/bin/bash\necho {number} > /app/out.txt\n",
            "tests/test.sh": TEST.format(number=number),
        }
        for name, text in files.items():
            path = task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
    return folder


def seconds_of(command: list[str], env: dict[str, str]) -> float:
    """Wall time of a command; the benchmark ends when it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return took


def main() -> None:
    """Print the times of both, and how often ours goes into Pier's."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode:
        raise SystemExit(
            "pier needs the docker CLI with its plugins compose and buildx: put them in ~/.docker/cli-plugins"
        )
    pier = installed(PEERS[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = write_tasks(folder / "tasks")
        env = {**os.environ, **QUIET, "PIER_DATA_DIR": str(folder / "var")}
        env.pop("DATABASE_URL", None)
        subprocess.run([sys.executable, str(MANAGE), "migrate", "-v0"], env=env, check=True)
        same = ["-p", str(tasks), "-a", "oracle", "-n", str(CONCURRENT), "-y", "-q"]
        commands = {
            "ours": [sys.executable, str(MANAGE), "pierrun", *same],
            "pier": [str(pier.script), "run", *same],
        }
        times: dict[str, list[float]] = {who: [] for who in commands}
        for repetition in range(REPETITIONS + 1):
            for who, command in commands.items():
                jobs = ["-o", str(folder / who), "--job-name", str(repetition)]
                took = seconds_of([*command, *jobs], env)
                if repetition:  # the first builds what is cached from then on
                    times[who].append(took)
    for who, each in times.items():
        print(f"{who}: {TRIALS} trials, {CONCURRENT} at once: " + ", ".join(f"{took:.1f}" for took in each) + " s")
    medians = {who: statistics.median(each) for who, each in times.items()}
    print(f"pier {medians['pier']:.1f} s / ours {medians['ours']:.1f} s = {medians['pier'] / medians['ours']:.1f}")
