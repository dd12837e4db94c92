"""The server: routes, keys, streams that break off or stall, TLS. What is said is chosen in `conversation.py`."""

import ssl
import threading
from typing import Self, TextIO

from tests.support.model_server.conversation import Conversations
from tests.support.model_server.listener import Listener
from tests.support.model_server.record import Truth
from tests.support.model_server.scenarios import SCENARIOS
from tests.support.model_server.script import Script


class ModelServer:
    """A model provider for tests and demonstrations, listening while the context is open.

    `delay_sec` is the pause before each event of a stream, `workdir` the folder the scenarios work in. With `api_key`
    every request must bring this key; without it any key will do. `context` makes it HTTPS. `log` gets a line a call.

        with ModelServer() as server:
            run_agent(base_url=server.base_url("basic", "my-run"))
            assert server.truth("my-run").answered("main")
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay_sec: float = 0.0,
        workdir: str = "/app",
        api_key: str | None = None,
        context: ssl.SSLContext | None = None,
        log: TextIO | None = None,
    ) -> None:
        self._scripts: dict[str, Script] = {}
        self._workdir = workdir
        self._host = host
        self._runs = Conversations(self._script)
        self._listener = Listener(
            (host, port), self._runs, delay_sec=delay_sec, api_key=api_key, context=context, log=log
        )
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.server_address[1])

    def base_url(self, scenario: str, run_id: str, *, host: str = "") -> str:
        """The address to give an agent as its provider's, without `/v1`. `host` is how the agent sees this machine."""
        scheme = "https" if self._listener.context else "http"
        return f"{scheme}://{host or self._host}:{self.port}/s/{scenario}/{run_id}"

    def add(self, name: str, script: Script) -> None:
        """Offer a script as a scenario, in place of a known one of this name. Runs that have begun keep theirs."""
        self._scripts[name] = script

    def truth(self, run_id: str) -> Truth:
        """What was sent in a run so far.

        Raises:
            LookupError: no request of this run has come.
        """
        run = self._runs.find(run_id)
        if run is None:
            raise LookupError(f"No request has come for the run {run_id!r}.")
        return run.truth()

    def reset(self, scenario: str, run_id: str) -> None:
        """Begin the run anew at its next request."""
        self._runs.forget(scenario, run_id)

    def _script(self, scenario: str) -> Script | None:
        made = SCENARIOS.get(scenario)
        return self._scripts.get(scenario) or (made(self._workdir) if made else None)
