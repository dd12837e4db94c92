"""A hundred trials, then a hundred critiques of them by a scripted critic, at the same concurrency and in one run.

Aims: a critique costs at most 1.3 times what a trial costs; every invented quote is flagged, and no true one.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.trial_overhead import write_task

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
TRIALS = 100
CONCURRENT = 8
SOLVE = "echo the answer is forty-two; touch answer.txt"
TRUE_QUOTES = ("the answer is forty-two", "touch answer.txt")
INVENTED_QUOTES = ("the answer is forty-three", "I will read the hidden tests first", "touch /tests/test.sh")


def critic_command() -> str:
    """A shell line that looks into its input and writes a critique with true and invented quotes."""
    citations = [{"step": 2, "quote": quote} for quote in (*TRUE_QUOTES, *INVENTED_QUOTES)]
    claim = {"claim": "The agent touched the file and ran no test.", "severity": "minor", "citations": citations}
    result = {"rating": "good", "tag": "PASS_LEGITIMATE", "feedback": "It did the work.", "claims": [claim]}
    text = shlex.quote(json.dumps(result))
    return f"cat /critique/input/text/*.txt > /dev/null; printf %s {text} > /logs/artifacts/critique-result.json"


def manage(folder: Path, *arguments: object) -> None:
    """Run a command of ours with data of its own; the benchmark ends when it fails."""
    env = {**os.environ, "PIER_DATA_DIR": str(folder / "var")}
    env.pop("DATABASE_URL", None)
    command = [sys.executable, str(MANAGE), *map(str, arguments)]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")


def seconds_of(directory: Path) -> float:
    """How long a job or a critique run took, by its own result.json."""
    result = json.loads((directory / "result.json").read_text())
    began, ended = (datetime.fromisoformat(result[key]) for key in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


def verdicts_of(run: Path) -> tuple[list[bool], list[bool]]:
    """Of the true and the invented quotes: whether each was found."""
    true: list[bool] = []
    invented: list[bool] = []
    for path in run.glob("*/citations.json"):
        for found in json.loads(path.read_text())["citations"]:
            (true if found["citation"] <= len(TRUE_QUOTES) else invented).append(found["is_verified"])
    return true, invented


def main() -> None:
    """Print both times, their ratio and the verdicts on quotes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task, prompt = write_task(folder / "trivial"), folder / "prompt.md"
        test = "#!/bin/bash\n[ -f answer.txt ] && echo 1 > /logs/verifier/reward.txt\n"
        (task / "tests" / "test.sh").write_text(test)
        prompt.write_text("Look at {trial_dir} and say whether the trial is valid.")
        manage(folder, "migrate", "-v0")
        jobs, job = folder / "jobs", folder / "jobs" / "job"
        same = ("-a", "command", "-q", "-y", "-n", CONCURRENT)
        work = ("--ak", f"command={SOLVE}", "-p", task, "-o", jobs)
        manage(folder, "pierrun", *same, *work, "-k", 1, "--job-name", "warm-up")
        manage(folder, "pierrun", *same, *work, "-k", TRIALS, "--job-name", "job")
        critics = ("-p", prompt, "--ak", f"command={critic_command()}")
        manage(folder, "piercritique", jobs / "warm-up", *same, *critics, "--name", "warm-up")
        manage(folder, "piercritique", job, *same, *critics, "--name", "run")
        run = job / ".critiques" / "run"
        of_trials, of_critiques = seconds_of(job), seconds_of(run)
        true, invented = verdicts_of(run)
    print(f"{TRIALS} trials, {CONCURRENT} at once: {of_trials:.1f} s, {of_trials / TRIALS * 1000:.0f} ms each")
    print(f"{TRIALS} critiques of them: {of_critiques:.1f} s, {of_critiques / TRIALS * 1000:.0f} ms each")
    print(f"critique / trial = {of_critiques / of_trials:.2f}")
    print(f"invented quotes flagged: {invented.count(False)} of {len(invented)}; true ones: {true.count(False)}")
