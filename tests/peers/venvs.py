"""Virtual environments with pier and with harbor, made once in .cache and used by every test of this folder.

Both want newer certificates than any index has (certifi >= 2026.10.19), so that one requirement is lifted.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("worker.py")
# Telemetry and a fetch of prices from the internet are the peers' defaults.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HARBOR_TELEMETRY": "off"}


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's package, installed in an environment of its own."""

    name: str
    requirement: str

    @property
    def folder(self) -> Path:
        """Where its virtual environment lies."""
        return ROOT / ".cache" / f"peers-venv-{self.name}"

    @property
    def script(self) -> Path:
        """Its command line."""
        return self.folder / "bin" / self.name

    def ask(self, requests: Iterable[dict[str, Any]]) -> list[str | None]:
        """What the peer's own code says to each request of `worker.py`: None when it accepts, else why not."""
        done = subprocess.run(
            [self.folder / "bin/python", "-W", "ignore", WORKER, self.name],
            input="\n".join(json.dumps(request) for request in requests),
            stdout=subprocess.PIPE,
            env={**os.environ, **QUIET},
            text=True,
            check=True,
        )
        answers: list[str | None] = [json.loads(line) for line in done.stdout.splitlines()]
        return answers


PEERS = (Peer("pier", "datacurve-pier==0.3.1"), Peer("harbor", "harbor==0.25.0"))


def installed(peer: Peer) -> Peer:
    """The peer, after making its environment where that isn't there whole; the first time this downloads 300 MB."""
    stamp = peer.folder / "installed.txt"
    if not stamp.is_file() or stamp.read_text() != peer.requirement:
        shutil.rmtree(peer.folder, ignore_errors=True)
        python = str(peer.folder / "bin/python")
        override = peer.folder / "override.txt"
        subprocess.run([sys.executable, "-m", "venv", peer.folder], check=True)
        override.write_text("certifi\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run([*uv, "--override", override, peer.requirement], check=True)
        stamp.write_text(peer.requirement)
    return peer
