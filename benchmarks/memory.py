"""The runner's peak memory with a hundred trials in flight, in containers. Aim: under 300 MB."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.trial_overhead import write_task

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
TRIALS = 100
# Long enough for the last container to start while the first agent still works, and with something to say.
SOLVE = (
    "#!/bin/bash\nfor n in $(seq {seconds}); do echo line $n of what an agent prints; sleep 1; done\ntouch answer.txt\n"
)
SECONDS = 75


def most_at_once(job: Path) -> int:
    """How many agents worked at the same moment."""
    edges = []
    for path in job.glob("*/result.json"):
        phase = json.loads(path.read_text())["agent_execution"]
        edges += [(datetime.fromisoformat(phase["started_at"]), 1), (datetime.fromisoformat(phase["finished_at"]), -1)]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def main() -> None:
    """Print the peak and how many trials were in flight."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = write_task(folder / "waits")
        (task / "solution" / "solve.sh").write_text(SOLVE.format(seconds=SECONDS))
        (task / "tests" / "test.sh").write_text("#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n")
        env = {**os.environ, "PIER_DATA_DIR": str(folder / "var")}
        env.pop("DATABASE_URL", None)
        subprocess.run([sys.executable, str(MANAGE), "migrate", "-v0"], env=env, check=True)
        run = ["pierrun", "-q", "-y", "-p", task, "-k", TRIALS, "-n", TRIALS, "-o", folder, "--job-name", "job"]
        command = [sys.executable, str(MANAGE), *map(str, run)]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as runner:
            _, status, used = os.wait4(runner.pid, 0)
            runner.returncode = os.waitstatus_to_exitcode(status)
        n_rewarded = len(list((folder / "job").glob("*/verifier/reward.txt")))
        print(
            f"peak {used.ru_maxrss / 1024:.0f} MB, {most_at_once(folder / 'job')} agents at once, {n_rewarded} rewards"
        )
