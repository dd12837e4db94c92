"""Small tasks of several containers, written by functions."""

from pathlib import Path
from typing import Any

from tests.support.tasks import CLOSED, make_task

WEB = """
  web:
    image: python:3.11-slim-bookworm
    working_dir: /srv
    command: [sh, -c, "echo hello from web > index.html; exec python3 -u -m http.server 8000"]
    healthcheck:
      test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000), 2).close()"]
      interval: 1s
      retries: 30
"""
WAITING_MAIN = """
  main:
    depends_on: {web: {condition: service_healthy}}
"""


def make_compose_task(parent: Path, services: str = WAITING_MAIN + WEB, *, more: str = "", **parts: Any) -> Path:
    """A task with these services; `more` follows them in the file."""
    task = make_task(parent, **{"toml": CLOSED, **parts})
    (task / "environment" / "docker-compose.yaml").write_text(f"services:\n{services}\n{more}")
    return task
