"""What a trial asked of the network: network.jsonl, read leniently and summed by destination."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime

from runs.indexing.values import Json, count, mapping, moment, text
from runs.models import Trial
from viewer.files import FileMissing, open_file, read_text

NETWORK_LOG = "network.jsonl"
POLICY = "network.json"
MAX_STEPS = 50
MAX_HOSTS = 200
MAX_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024
MAX_DESTINATIONS = 500
MAX_REQUESTS = 1000
MAX_WHERE_LONG = 80
MAX_PHASES = 100
MAX_WORDS_CHARS = 1000
VERDICTS = ("allowed", "refused", "failed")


@dataclass(frozen=True, slots=True)
class Request:
    """One connection, as the proxy noted it. `place` is `host:port`; a verdict of no kind we know is `other`."""

    at: datetime | None
    method: str
    place: str
    verdict: str
    reason: str
    sent_bytes: int
    received_bytes: int


@dataclass(slots=True)
class Destination:
    """All connections to one place that ended alike. `reason` is the last one's."""

    place: str
    verdict: str
    n_requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NetworkLog:
    """The log within bounds: destinations with refused ones first, and the last requests. `is_cut`: there was more."""

    destinations: list[Destination]
    requests: list[Request]
    n_requests: int
    n_by_verdict: dict[str, int] = field(default_factory=dict)
    is_cut: bool = False
    n_more_destinations: int = 0

    def shortened(self) -> "NetworkLog":
        """The same with MAX_WHERE_LONG of each list: for a log whose lines are too long for a page."""
        n_more = max(0, len(self.destinations) - MAX_WHERE_LONG)
        shown, last = self.destinations[:MAX_WHERE_LONG], self.requests[-MAX_WHERE_LONG:]
        return replace(self, destinations=shown, requests=last, n_more_destinations=n_more)


def read_policy(trial: Trial) -> list[tuple[str, str]]:
    """What the trial's phases may reach, a line each, as its network.json says; empty where there is none."""
    file = read_text(trial, POLICY, tail=0)
    try:
        value = json.loads(file.head) if file else None
    except (ValueError, RecursionError):
        return []
    steps = mapping(mapping(value).get("steps"))
    stages = list(steps.items())[:MAX_STEPS] if steps else [("", value)]
    found = [
        (text(f"{name}, {phase}" if name else phase, 255), _words(mapping(policy)))
        for name, stage in stages
        for phase, policy in mapping(stage).items()
    ]
    return found[:MAX_PHASES]


def _words(policy: Json) -> str:
    mode, hosts = text(policy.get("mode"), 20), policy.get("allowed_hosts")
    listed = [host for host in hosts if isinstance(host, str)][:MAX_HOSTS] if isinstance(hosts, list) else []
    if mode == "allowlist":
        words = ", ".join(text(host, 255) for host in listed) or "nothing"
        return words if len(words) <= MAX_WORDS_CHARS else f"{words[:MAX_WORDS_CHARS]} …"
    return {"closed": "nothing", "open": "everything: the network is open"}.get(mode, mode or "unknown")


def read_network(trial: Trial) -> NetworkLog | None:
    """The trial's network log, or None where there is none: nothing was asked, or nothing stood in between."""
    try:
        file = open_file(trial, NETWORK_LOG)
    except FileMissing:
        return None
    destinations: dict[tuple[str, str], Destination] = {}
    requests: list[Request] = []
    by_verdict = dict.fromkeys(VERDICTS, 0)
    n_requests, n_bytes, is_cut = 0, 0, False
    with file:
        while n_bytes < MAX_BYTES and (line := file.readline(MAX_LINE_BYTES)):
            n_bytes += len(line)
            request = _request(line)
            if request is None:
                continue
            if request.verdict == "cut":
                is_cut = True
                continue
            n_requests += 1
            by_verdict[request.verdict] = by_verdict.get(request.verdict, 0) + 1
            requests.append(request)
            if len(requests) > 2 * MAX_REQUESTS:
                del requests[:MAX_REQUESTS]
            _count(destinations, request)
        is_cut = is_cut or n_bytes >= MAX_BYTES
    return NetworkLog(
        destinations=sorted(destinations.values(), key=lambda found: (found.verdict == "allowed", -found.n_requests)),
        requests=requests[-MAX_REQUESTS:],
        n_requests=n_requests,
        n_by_verdict=by_verdict,
        is_cut=is_cut,
    )


def _count(destinations: dict[tuple[str, str], Destination], request: Request) -> None:
    key = (request.place, request.verdict)
    if key not in destinations:
        if len(destinations) >= MAX_DESTINATIONS:
            key = ("other places", request.verdict)
        destinations.setdefault(key, Destination(*key))
    found = destinations[key]
    found.n_requests += 1
    found.sent_bytes += request.sent_bytes
    found.received_bytes += request.received_bytes
    found.reason = request.reason or found.reason


def _request(line: bytes) -> Request | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    verdict = text(value.get("verdict"), 20)
    host, port = text(value.get("host"), 255), count(value.get("port"), 65535)
    return Request(
        at=moment(value.get("time")),
        method=text(value.get("method"), 20),
        place=f"{host}:{port}" if host and port else host or "no destination",
        verdict=verdict if verdict in (*VERDICTS, "cut") else "other",
        reason=text(value.get("reason"), 300),
        sent_bytes=count(value.get("sent_bytes")) or 0,
        received_bytes=count(value.get("received_bytes")) or 0,
    )
