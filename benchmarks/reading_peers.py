"""The same long trials read here, in Harbor, in Pier and in Inspect View, in one run. Installs the three: 1.2 GB.

Aim: the agent's first step on the page 20 times sooner than in Pier and Harbor at 10,000 steps, and sooner than in
Inspect at every length. Pier's package has an API and no page: its figure is the answer that its page would need,
received and parsed, without anything drawn.
"""

import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.in_browser import PATIENCE_MS, RUNS, Load, chromium, cold_load, median_of
from benchmarks.long_trials import JOB, write_job
from benchmarks.reading import LENGTHS, serving
from tests.peers.venvs import PEERS, QUIET, Peer, installed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PIER, HARBOR = PEERS
INSPECT = Peer("inspect", "inspect_ai==0.3.285")
TO_INSPECT = Path(__file__).with_name("inspect_log.py")
FETCHED_AND_PARSED = """
async (address) => {
  const start = performance.now();
  const text = await (await fetch(address)).text();
  JSON.parse(text);
  return [performance.now() - start, text.length];
}
"""


@contextmanager
def started(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """A peer's server, once it answers; its address. Ended afterwards."""
    base = f"http://127.0.0.1:{port}"
    log = folder / f"{port}.log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, env={**os.environ, **QUIET}, stdout=output, stderr=output) as server,
    ):
        try:
            for _ in range(600):
                if server.poll() is not None:
                    raise SystemExit(f"{command[0]} ended:\n{log.read_text()[-2000:]}")
                try:
                    urllib.request.urlopen(f"{base}/", timeout=5).close()  # noqa: S310 - our own http address
                    break
                except OSError as error:
                    if getattr(error, "code", None):  # it answers, if only that there is no page
                        break
                    time.sleep(0.2)
            yield base
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def command_of(peer: Peer) -> list[str]:
    """A peer's command line, with its interpreter: the script itself names the place where it was first installed."""
    return [str(installed(peer).folder / "bin/python"), str(peer.script)]


def harbor_address(stack: ExitStack, jobs: Path) -> str:
    """Harbor's pages, served until the stack is closed."""
    port = _free_port()
    command = [*command_of(HARBOR), "view", str(jobs), "--port", str(port)]
    return stack.enter_context(started(command, port, jobs.parent))


def pier_address(stack: ExitStack, jobs: Path) -> str:
    """Pier's API, served until the stack is closed."""
    port = _free_port()
    command = [*command_of(PIER), "view", str(jobs), "--port", str(port), "--no-build"]
    return stack.enter_context(started(command, port, jobs.parent))


def inspect_address(stack: ExitStack, folder: Path, trials: dict[int, Path]) -> str:
    """Inspect View over logs with the same texts, served until the stack is closed."""
    peer = installed(INSPECT)
    logs = folder / "logs"
    logs.mkdir()
    for n, path in trials.items():
        convert = [peer.folder / "bin/python", TO_INSPECT, path / "agent/trajectory.json", logs / f"read-{n}.eval"]
        subprocess.run(convert, check=True, stdout=subprocess.DEVNULL)
    port = _free_port()
    command = [*command_of(peer), "view", "start", "--log-dir", str(logs), "--port", str(port)]
    return stack.enter_context(started(command, port, folder))


def answer_load(browser: "Browser", base: str, trial: str) -> Load:
    """Pier's answer with the trajectory, fetched and parsed in the browser."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{base}/api/health")
    took_ms, size = page.evaluate(FETCHED_AND_PARSED, f"{base}/api/jobs/{JOB}/trials/{trial}/trajectory")
    page.close()
    return Load(-1, took_ms, 0, 0, size, size)


def main() -> None:
    """Print every figure, and how often ours goes into it. All are open at once and asked in turn: one load for all."""
    for peer in (HARBOR, PIER, INSPECT):
        installed(peer)
    found: dict[tuple[str, int], list[Load]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, chromium() as browser, ExitStack() as stack:
        folder = Path(name)
        jobs = folder / "jobs"
        trials = write_job(jobs, LENGTHS)
        site = stack.enter_context(serving(folder, jobs))
        ids, state = site.trials(), site.state(browser)
        harbor, pier = harbor_address(stack, jobs), pier_address(stack, jobs)
        inspect = inspect_address(stack, folder, trials)
        for _, n in product(range(RUNS), LENGTHS):
            trial = trials[n].name
            ours = cold_load(browser, f"{site.base}/trials/{ids[n]}/", state=state, runs=1)
            found["here", n].append(ours)
            found["harbor", n].append(cold_load(browser, f"{harbor}/jobs/{JOB}/trials/{trial}", runs=1))
            found["pier (its answer alone)", n].append(answer_load(browser, pier, trial))
            sample = f"{inspect}/#/logs/read-{n}.eval/samples/sample/1/1/transcript"
            found["inspect", n].append(cold_load(browser, sample, runs=1))
    print("load of the machine: " + " ".join(f"{load:.1f}" for load in os.getloadavg()))
    for (who, n), loads in sorted(found.items()):
        load, ours = median_of(loads), median_of(found["here", n])
        print(
            f"{who:>24}, {n:>6,} steps: first step {load.seen_ms:>8,.0f} ms, {load.n_nodes:>9,.0f} nodes, "
            f"{load.received_bytes / 1e6:6.1f} MB, {load.seen_ms / ours.seen_ms:6.1f} times ours"
        )
