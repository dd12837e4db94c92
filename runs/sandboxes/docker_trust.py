"""Images that trust the certificate authorities of this machine: made from others by adding files, running nothing."""

import asyncio
import hashlib
import io
import json
import tarfile
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import docker.errors
from django.conf import settings

from runs.agents.install import PREFIX
from runs.owner import this_owner
from runs.sandboxes.base import OnOutput
from runs.sandboxes.certificates import STORES, WITH_OWN_LIST, Authorities, authorities, certificates_in, variables
from runs.sandboxes.engine import Engine
from runs.sandboxes.engine_stream import post
from runs.sandboxes.last_use import note_use
from runs.sandboxes.single_flight import only_process

REPOSITORY = "pier-site/trust"
LABEL = "pier-site"
OWNER_LABEL = f"{LABEL}.owner"
# For images that have no store of their own.
OWN_STORE = f"{PREFIX}/ca-certificates.pem"
# Where the distributions' own tools look for more authorities when they write their store anew.
DEBIAN_ANCHORS, FEDORA_ANCHORS = "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"
# Of 2 MiB, as the SDK reads them: a larger file is no store, and its tar is found torn.
MAX_STORE_CHUNKS = 8


async def trusting(engine: Engine, image_id: str, log: OnOutput) -> str:
    """An image, by its name or id, that trusts what this machine trusts; the same one where nothing has to be added.

    Made once for an image and a set of authorities. Raises SandboxFailed, and InputInvalid for a bad setting.
    """
    wanted = authorities()
    if wanted is None:
        return image_id
    key = trust_key(image_id, wanted)
    if _needs_none(key).exists():
        return image_id
    tag = f"{REPOSITORY}:{key}"

    async def make(log: OnOutput) -> str:
        async with only_process(Path(settings.CACHE_DIR, "locks"), key):
            found = await engine.call(image_id_of, engine, tag)
            return tag if found else await _made(engine, image_id, tag, wanted, log)

    found = await engine.call(image_id_of, engine, tag)
    # The name and not the id: BuildKit starts from nothing that has no name.
    trusted = tag if found else await engine.flights.do(tag, make, log)
    if trusted == tag:
        note_use(tag)
    return trusted


def image_id_of(engine: Engine, tag: str) -> str | None:
    """The id of the image of that name, if the engine has it. Blocks for one call."""
    with suppress(docker.errors.ImageNotFound):
        inspected: dict[str, Any] = engine.api.inspect_image(tag)  # type: ignore[no-untyped-call]  # stub lacks types
        return str(inspected["Id"])
    return None


def config_of(engine: Engine, image_id: str) -> dict[str, Any]:
    """What an image says of its variables, command, user and so on. Blocks for one call."""
    inspected: dict[str, Any] = engine.api.inspect_image(image_id)  # type: ignore[no-untyped-call]  # stub lacks types
    return inspected.get("Config") or {}


async def commit(
    engine: Engine, container: str, tag: str, config: dict[str, Any], *, env: dict[str, str], labels: dict[str, str]
) -> str:
    """Make an image of a container that behaves as the image with `config`, with more variables and labels: its id."""
    repository, _, name = tag.partition(":")
    lines = [*(config.get("Env") or ()), *(f"{key}={value}" for key, value in env.items())]
    kept = {
        **config,
        # Empty is not the same as absent: what is absent is taken from the container.
        "Entrypoint": config.get("Entrypoint") or [],
        "Cmd": config.get("Cmd") or [],
        "Env": lines,
        # The container's own owner is not that of all containers which are made from the image.
        "Labels": {**(config.get("Labels") or {}), OWNER_LABEL: "", **labels},
    }
    parameters = {"container": container, "repo": repository, "tag": name}
    body = io.BytesIO(json.dumps(kept).encode())
    made = ""
    # Not through the SDK, which would give up on a large layer of a slow disk after a minute.
    answer = post(engine.api, "/commit", parameters, headers={"Content-Type": "application/json"}, body=body)
    async with aclosing(answer) as events:
        async for event in events:
            made = str(event.get("Id", ""))
    return made


@dataclass(frozen=True, slots=True)
class _Change:
    """What has to be added to an image: an archive to unpack at its root, variables, and how many authorities."""

    archive: bytes
    env: dict[str, str]
    n_authorities: int


async def _made(engine: Engine, image_id: str, tag: str, wanted: Authorities, log: OnOutput) -> str:
    config = await engine.call(config_of, engine, image_id)
    container = await engine.call(_created, engine, image_id)
    try:
        change = await engine.call(_change, engine, container, config, wanted)
        if change is None:
            _note_needs_none(trust_key(image_id, wanted))
            return image_id
        log("stdout", f"Adding {change.n_authorities} certificate authorities of this machine.\n".encode())
        await engine.call(engine.api.put_archive, container, "/", change.archive)
        made = await commit(engine, container, tag, config, env=change.env, labels={LABEL: "1"})
        _note_needs_none(trust_key(made, wanted))
        return tag
    finally:
        await asyncio.shield(engine.call(engine.api.remove_container, container, force=True, v=True))


def trust_key(image_id: str, wanted: Authorities) -> str:
    """What tells an image with these authorities from others, in its name."""
    return hashlib.sha256(f"{image_id}\0{wanted.digest()}".encode()).hexdigest()[:24]


def _needs_none(key: str) -> Path:
    """A file that exists when it is known that an image has all that this machine trusts."""
    return Path(settings.CACHE_DIR, "trust", key)


def _note_needs_none(key: str) -> None:
    path = _needs_none(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _created(engine: Engine, image_id: str) -> str:
    """A container that is never started: its files are read and written through the engine."""
    labels = {LABEL: "1", OWNER_LABEL: this_owner()}
    made = engine.api.create_container(image_id, entrypoint=["/bin/true"], labels=labels, network_disabled=True)
    return str(made["Id"])


def _change(engine: Engine, container: str, config: dict[str, Any], wanted: Authorities) -> _Change | None:
    store, text = _store_of(engine, container)
    known = certificates_in(text)
    missing = [block for name, block in certificates_in("\n".join(wanted.private)).items() if name not in known]
    named = {line.partition("=")[0] for line in config.get("Env") or ()}
    added = {name: path for name, path in variables(store or OWN_STORE).items() if name not in named}
    if store and not missing and not any(name in added for name in WITH_OWN_LIST):
        return None
    content = "\n".join([text, *missing, ""]) if store else wanted.bundle
    anchors = FEDORA_ANCHORS if store and "ca-trust" in store else DEBIAN_ANCHORS
    return _Change(_archive(store or OWN_STORE, content, anchors, missing), added, len(missing))


def _store_of(engine: Engine, container: str) -> tuple[str | None, str]:
    """The path of the first store that there is, and its text."""
    for path in (*STORES, OWN_STORE):
        with suppress(docker.errors.NotFound, tarfile.TarError):
            chunks, status = engine.api.get_archive(container, path)
            content = b"".join(islice(chunks, MAX_STORE_CHUNKS))
            if status.get("linkTarget"):
                continue
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                member = tar.next()
                file = tar.extractfile(member) if member else None
                if file:
                    return path, file.read().decode(errors="replace")
    return None, ""


def _archive(store: str, content: str, anchors: str, missing: list[str]) -> bytes:
    """The store's new text, and each missing authority where the distribution's tools find it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in (anchors, *([PREFIX] if store == OWN_STORE else [])):
            member = tarfile.TarInfo(folder.strip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        texts = {store: content, **{f"{anchors}/pier-site-{n}.crt": f"{text}\n" for n, text in enumerate(missing, 1)}}
        for path, text in texts.items():
            member = tarfile.TarInfo(path.strip("/"))
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()
