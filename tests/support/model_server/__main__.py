"""Serve by hand: `python -m tests.support.model_server --port 8100`. Needs no settings and no database."""

import argparse
import sys
import threading
from contextlib import suppress

from tests.support.model_server.scenarios import SCENARIOS
from tests.support.model_server.server import ModelServer


def main() -> None:
    """Serve until interrupted; one line a call on stdout."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.model_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8100, help="port to listen on (default: %(default)s)")
    parser.add_argument("--workdir", default="/app", help="folder the scenarios work in (default: %(default)s)")
    parser.add_argument("--delay-ms", type=float, default=30.0, help="pause before each event (default: %(default)s)")
    chosen = parser.parse_args()
    with ModelServer(
        host=chosen.host,
        port=chosen.port,
        workdir=chosen.workdir,
        delay_sec=chosen.delay_ms / 1000,
        log=sys.stdout,
    ) as server:
        sys.stdout.write(
            f"Base URL: {server.base_url('SCENARIO', 'RUN-ID')} (and /v1 where the agent wants it)\n"
            f"Scenarios: {', '.join(SCENARIOS)}\n"
            "What was sent: GET …/RUN-ID/__truth; begin anew: POST …/RUN-ID/__reset\n"
        )
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
