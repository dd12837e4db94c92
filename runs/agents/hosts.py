"""Hosts out of URLs that a job gives an agent, as entries of an allowlist. Nothing is guessed from names."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from runs.formats.network import clean_job_host

# Under these keys agents' config files have the address of a service.
URL_KEYS: Final = frozenset({"api", "api_base", "api_url", "base_url", "baseurl", "baseURL", "openai_base_url", "url"})
# An entry without a port stands for these.
_PLAIN_PORTS: Final = frozenset({None, 80, 443})
_MAX_DEPTH: Final = 50


def host_entry(url: str | None) -> str | None:
    """`host` or, for another port than HTTP's own, `host:port`; None for what names no host.

    Without a scheme only what looks like a host is one; `{env:NAME}` and `${NAME}` are resolved by nobody here.
    """
    text = (url or "").strip()
    if not text or "{env:" in text or "${" in text:
        return None
    if "://" not in text:
        if not ("." in text or ":" in text or text.startswith("localhost")):
            return None
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        if not host or "*" in host:
            return None
        if ":" in host:
            return clean_job_host(f"[{host}]:{port}" if port not in _PLAIN_PORTS else host)
        return clean_job_host(host if port in _PLAIN_PORTS else f"{host}:{port}")
    except ValueError:
        return None


def hosts_in(config: Any) -> list[str]:
    """The hosts of all URLs that stand under a URL key anywhere in a config, each once."""
    return list(dict.fromkeys(entry for url in _urls_in(config, 0) if (entry := host_entry(url))))


def _urls_in(config: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(config, list):
        for value in config:
            yield from _urls_in(value, depth + 1)
    elif isinstance(config, dict):
        for key, value in config.items():
            if key in URL_KEYS and isinstance(value, str):
                yield value
            else:
                yield from _urls_in(value, depth + 1)
