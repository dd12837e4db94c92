"""From the write of a step to its arrival in many streams and its place in sight in a browser; search in 10,000 steps.

Aims: a step is with its readers within a second; a search takes less than a second.
"""

import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.test import Client

    from runs.indexing.live import LiveIndex
    from runs.models import Trial

ROOT = Path(__file__).resolve().parent.parent
READERS = 40
WRITES = 30
STEPS = 10_000
# Notes for each step when it was first in sight: looked for once a frame, among the last ones.
NOTE_STEPS = """
() => {
  window.seenSteps = {};
  const look = () => {
    for (const step of [...document.querySelectorAll("[data-step]")].slice(-5)) {
      const box = step.getBoundingClientRect();
      const isShown = box.height > 0 && box.top < innerHeight && box.bottom > 0;
      if (isShown) window.seenSteps[step.id.slice(5)] ??= performance.timeOrigin + performance.now();
    }
    requestAnimationFrame(look);
  };
  look();
}
"""
WORDS = "error test def return import file path value result assert none true class self run build index"


def main() -> None:
    """Run in a data directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PIER_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "pier_site.settings"}
        env.pop("DATABASE_URL", None)
        subprocess.run([sys.executable, ROOT / "manage.py", "migrate", "-v0"], env=env, check=True)
        subprocess.run([sys.executable, "-m", "benchmarks.following"], cwd=ROOT, env=env, check=True)


def measure() -> None:
    """Print the figures. In the process whose data directory may be written to."""
    import django

    django.setup()
    from django.conf import settings
    from django.test import Client
    from django.utils import timezone

    from pier_site.accounts.models import Membership, Project, Role, User
    from runs.indexing.live import LiveIndex
    from runs.models import Job, Status, Trial

    user = User.objects.create_user("reader")
    project = Project.objects.create(name="bench", slug="bench")
    Membership.objects.create(user=user, project=project, role=Role.OWNER)
    job = Job.objects.create(project=project, directory="/nowhere", name="bench", sorted_at=timezone.now())
    trial = Trial.objects.create(job=job, name="a", task_name="a", status=Status.RUNNING, owner="me")
    index = LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "agent", "")
    for first in range(1, STEPS, 500):
        write(index, first, 500)
    client = Client()
    client.force_login(user)
    search(trial)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "pier_site.asgi:application", "--port", str(port), "--log-level", "error"]
    )
    try:
        trial.refresh_from_db()
        query = f"trajectory={trial.trajectories.get().pk}&since={trial.revision}"
        asyncio.run(follow(f"{trial.get_absolute_url()}feed/?{query}", port, cookie, index))
        look_on(f"http://127.0.0.1:{port}{trial.get_absolute_url()}?at=end", client, index)
    finally:
        server.kill()
        server.wait()


def write(index: "LiveIndex", first: int, count: int) -> None:
    """Steps of a shell call and 3 KB of output each."""
    from runs.formats.trajectory import Observation, ObservationResult, Step, ToolCall
    from runs.indexing.live import ThreadUpdate

    chance = random.Random(first)
    words = WORDS.split()
    steps = []
    for number in range(first, first + count):
        text = "\n".join(" ".join(chance.choices(words, k=10)) for _ in range(55)) + (" needle" * (number % 100 == 0))
        call = ToolCall(tool_call_id="a", function_name="bash", arguments={"command": f"sed -n {number}p x.py"})
        seen = Observation(results=[ObservationResult(source_call_id="a", content=text)])
        steps.append(Step(step_id=number, source="agent", message="", tool_calls=[call], observation=seen))
    index.write([ThreadUpdate("", steps)], {})


def search(trial: "Trial") -> None:
    """Time words that few, all and no steps have."""
    from viewer.find import find

    trajectory = trial.trajectories.get()
    for words in ("needle", "return", "nowhere", "message"):
        started_at = time.perf_counter()
        found = find(words, trial.steps.all(), [trajectory.pk], (trajectory.pk,))
        spent = time.perf_counter() - started_at
        print(f"search for {words!r} in {STEPS:,} steps: {len(found.hits):,} have it, {spent:.2f} s")


async def follow(path: str, port: int, cookie: str, index: "LiveIndex") -> None:
    """Write steps while READERS streams are open; print how long each took to arrive."""
    arrived: dict[int, list[float]] = {}
    await until_served(port)
    ready = [asyncio.Event() for _ in range(READERS)]
    readers = [asyncio.create_task(read(path, port, cookie, arrived, event)) for event in ready]
    await asyncio.gather(*(event.wait() for event in ready))
    written: dict[int, float] = {}
    for number in range(STEPS + 1, STEPS + 1 + WRITES):
        await asyncio.to_thread(write, index, number, 1)
        written[number] = time.perf_counter()
        await asyncio.sleep(0.3)
    await asyncio.sleep(1)
    for reader in readers:
        reader.cancel()
    waits = [at - written[number] for number, times in arrived.items() for at in times]
    p95 = statistics.quantiles(waits, n=20)[-1]
    print(
        f"{READERS} readers, {WRITES} steps: {len(waits):,} of {READERS * WRITES:,} arrived, "
        f"{statistics.median(waits) * 1000:.0f} ms after the write, p95 {p95 * 1000:.0f} ms"
    )


def look_on(address: str, client: "Client", index: "LiveIndex") -> None:
    """Write steps while a browser follows the trial; print how long each took to be in sight there."""
    from django.conf import settings

    from benchmarks.in_browser import chromium

    name = settings.SESSION_COOKIE_NAME
    written: dict[int, float] = {}
    # The driver of the browser has an event loop in this thread, where Django would refuse to write.
    with chromium() as browser, ThreadPoolExecutor(1) as writer:
        page = browser.new_page()
        page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": address}])
        page.goto(address)
        page.locator("[data-follow][aria-pressed=true]").wait_for()
        page.evaluate(NOTE_STEPS)
        for number in range(STEPS + WRITES + 1, STEPS + 2 * WRITES + 1):
            writer.submit(write, index, number, 1).result()
            written[number] = time.time() * 1000
            page.wait_for_timeout(300)
        page.wait_for_timeout(1_000)
        seen = {int(number): at for number, at in page.evaluate("window.seenSteps").items()}
    waits = [seen[number] - at for number, at in written.items() if number in seen]
    print(
        f"a browser, {WRITES} steps: {len(waits)} of {WRITES} came in sight, "
        f"{statistics.median(waits):.0f} ms after the write, at most {max(waits):.0f} ms"
    )


async def until_served(port: int) -> None:
    """Wait for the server to listen."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


async def read(path: str, port: int, cookie: str, arrived: dict[int, list[float]], ready: asyncio.Event) -> None:
    """Note when each step arrives."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    async for line in reader:
        if line.startswith(b"event: state"):
            ready.set()
        elif line.startswith(b"id: "):
            arrived.setdefault(int(line.partition(b".")[2]) + 1, []).append(time.perf_counter())


if __name__ == "__main__":
    measure()
