"""A server of the site in a process of its own, over the database of a test: it can be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.urls import reverse

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """uvicorn on a free port."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "pier_site.asgi:application", "--log-level", "warning"]
        database = f"sqlite:///{connection.settings_dict['NAME']}"
        environ = {**os.environ, "DATABASE_URL": database, "PIER_SECRET_KEY": settings.SECRET_KEY}
        self._process = subprocess.Popen([*command, "--port", str(self.port)], cwd=ROOT, env=environ)
        ends_at = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}{reverse('login')}", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < ends_at
                time.sleep(0.1)

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
