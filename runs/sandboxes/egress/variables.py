"""The variables by which programs find the proxy, and those by which a job names its model endpoints."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from runs.formats.network import clean_job_host
from runs.sandboxes.egress.rules import DEFAULT_PORTS, Scheme

PROXY_PORT: Final = 3128
PROXY_USER: Final = "pier"
NO_PROXY: Final = "localhost,127.0.0.1,::1"

_ENDINGS: Final = ("_BASE_URL", "_API_BASE")


def proxy_variables(token: str) -> dict[str, str]:
    """What a command in an allowlisted sandbox needs in its environment."""
    address = f"http://{PROXY_USER}:{token}@127.0.0.1:{PROXY_PORT}"
    both = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "NO_PROXY": NO_PROXY}
    # Node.js reads the others only when this asks it to.
    return {**both, **{name.lower(): value for name, value in both.items()}, "NODE_USE_ENV_PROXY": "1"}


def hosts_of_env(env: Mapping[str, str]) -> list[str]:
    """The `host:port` of each base URL (`…_BASE_URL`, `…_API_BASE`) in an agent's environment.

    Who sets one means the agent to reach it, wherever it lies. Values that are no http(s) address name nothing.
    """
    found = [_endpoint(value) for name, value in env.items() if name.upper().endswith(_ENDINGS)]
    return list(dict.fromkeys(endpoint for endpoint in found if endpoint))


def _endpoint(value: str) -> str | None:
    try:
        url = urlsplit(value.strip())
        scheme: Scheme | None = "https" if url.scheme == "https" else "http" if url.scheme == "http" else None
        if scheme is None or not url.hostname:
            return None
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return clean_job_host(f"{host}:{url.port or DEFAULT_PORTS[scheme]}")
    except ValueError:
        return None
