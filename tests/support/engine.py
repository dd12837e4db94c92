"""A Docker engine's socket that can stop answering: everything passes through until then."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"


class HangingEngine:
    """Passes connections on to the real engine; after `hang` it accepts and reads, and never answers again."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix://{path}"
        self._hangs = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)

    def hang(self) -> None:
        """From now on nothing comes back, on no connection."""
        self._hangs.set()

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(os.environ.get("PIER_TEST_ENGINE", ENGINE_SOCKET))
                self._open += [client, engine]
                for source, target in ((client, engine), (engine, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self._hangs.is_set():
                    target.sendall(data)
            if not self._hangs.is_set():
                target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End all connections."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def hanging_engine(path: Path) -> Iterator[HangingEngine]:
    """A socket at `path` that can hang."""
    engine = HangingEngine(path)
    thread = threading.Thread(target=engine.serve, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.close()
        thread.join(5)
