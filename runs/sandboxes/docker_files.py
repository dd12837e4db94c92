"""Files of containers and images as tar streams: what changed, the working directory, files as the image has them.

The engine reads them: nothing is executed in the container, so nothing that an agent left there can answer for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, Literal, cast

import docker
from docker.errors import NotFound

from runs.sandboxes.docker_overlay import overlay_changes
from runs.sandboxes.extraction import SourceMissing
from runs.sandboxes.trees import Change, FileEntry, Receive, entries_in

KINDS: tuple[Literal["modified", "added", "deleted"], ...] = ("modified", "added", "deleted")
CHUNK_BYTES = 1024 * 1024
# Of one path that was a folder in the image: more of it is not read.
MAX_ORIGINAL_BYTES = 32 * 1024 * 1024
MAX_ORIGINAL_MEMBERS = 2_000


def container_changes(api: docker.APIClient, container: str) -> list[Change]:
    """What differs from the image, without volumes and mounts."""
    found = overlay_changes(api, container)
    if found is not None:
        return found
    listed = cast("list[dict[str, object]] | None", api.diff(container))
    return [Change(str(item["Path"]), KINDS[cast("int", item["Kind"])]) for item in listed or ()]


def save_tree(api: docker.APIClient, container: str, source: str, receive: Receive) -> None:
    """Stream a path as a tar: links stay links, owners and modes are kept. Raises SourceMissing."""
    try:
        with _archive(api, container, source) as chunks:
            for chunk in chunks:
                if not receive(chunk):
                    return
    except NotFound as error:
        raise SourceMissing(f"{source} does not exist in the sandbox") from error


def files_at(api: docker.APIClient, container: str, paths: Sequence[str]) -> dict[str, FileEntry]:
    """The files at these paths, and those below where a path is a folder, as far as the limits go."""
    found: dict[str, FileEntry] = {}
    for path in paths:
        with suppress(NotFound), _archive(api, container, path) as chunks:
            parent = str(PurePosixPath(path).parent)
            found.update(entries_in(_first(chunks), parent, lambda _: True, max_members=MAX_ORIGINAL_MEMBERS))
    return found


def image_files(
    api: docker.APIClient, image: str, paths: Sequence[str], *, name: str, labels: Mapping[str, str]
) -> dict[str, FileEntry]:
    """The same of an image, through a container that is never started. Two calls more, about 60 ms."""
    host = api.create_host_config(network_mode="none")
    made = api.create_container(image, entrypoint=["/bin/true"], name=name, labels=dict(labels), host_config=host)
    container = cast("str", made["Id"])
    try:
        return files_at(api, container, paths)
    finally:
        with suppress(NotFound):
            api.remove_container(container, force=True, v=True)


@contextmanager
def _archive(api: docker.APIClient, container: str, path: str) -> Iterator[Iterator[bytes]]:
    """A path as a tar in pieces. The SDK's own call cannot be left before its end without losing the connection."""
    inner = cast("Any", api)
    url = inner._url("/containers/{0}/archive", container)  # noqa: SLF001 - see above
    response = inner._get(url, params={"path": path}, stream=True)  # noqa: SLF001
    try:
        inner._raise_for_status(response)  # noqa: SLF001
        yield response.iter_content(CHUNK_BYTES)
    finally:
        response.close()


def _first(chunks: Iterator[bytes]) -> Iterator[bytes]:
    n_bytes = 0
    for chunk in chunks:
        yield chunk
        n_bytes += len(chunk)
        if n_bytes >= MAX_ORIGINAL_BYTES:
            return
