"""How long `pierrun --help` takes: what everybody waits for, every time. Aim: 0.7 s."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
REPETITIONS = 7


def main() -> None:
    """Print the median and the spread."""
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        subprocess.run([sys.executable, str(MANAGE), "pierrun", "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    print(f"pierrun --help: median {statistics.median(times):.2f} s (from {min(times):.2f} to {max(times):.2f})")
