"""The volumes of one trial of several containers. Folders of the task become volumes too, and files are copied in.

So nothing of the machine is mounted: a trial can't change its task, and an engine elsewhere will do.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import docker.errors
from docker.types import Mount

from runs.errors import SandboxFailed
from runs.sandboxes.archive import archive_of
from runs.sandboxes.base import SandboxSpec
from runs.sandboxes.compose.model import ComposeFile, Service, ServiceMount
from runs.sandboxes.docker import engine_name, labels_of
from runs.sandboxes.engine import Engine

# Where a folder's files are put into its volume: no image has this folder.
FILLED_AT: Final = "/pier-site-volume"


class TrialVolumes:
    """The named volumes of a compose file, and one for each folder that it mounts."""

    def __init__(self, engine: Engine, compose: ComposeFile, spec: SandboxSpec) -> None:
        self._engine = engine
        self._folder = compose.path.parent
        self._named = compose.volumes
        self._labels = labels_of(spec)
        self._prefix = engine_name(spec.name)
        self._made: dict[str, None] = {}
        self._folders: dict[str, str] = {}

    async def make(self) -> None:
        """Create the named volumes."""
        for name in self._named:
            await self._create(f"{self._prefix}_{name}")

    async def _create(self, name: str) -> None:
        creation = asyncio.ensure_future(
            self._engine.call(self._engine.api.create_volume, name, driver="local", labels=self._labels)
        )
        self._made[name] = None
        try:
            await asyncio.shield(creation)
        except asyncio.CancelledError:
            with suppress(SandboxFailed):
                await creation
            raise

    async def prepare(self, service: Service, image: str) -> None:
        """Fill the volumes of the folders that a service mounts, where no service before it did."""
        for mount in service.mounts:
            if mount.kind == "folder" and mount.source not in self._folders:
                # No volume of the file has such a name.
                name = f"{self._prefix}__folder-{len(self._folders) + 1}"
                await self._create(name)
                filling = asyncio.ensure_future(self._engine.call(self._fill, name, image, mount))
                try:
                    await asyncio.shield(filling)
                except asyncio.CancelledError:
                    with suppress(SandboxFailed):
                        await filling
                    raise
                self._folders[mount.source] = name

    def _fill(self, volume: str, image: str, mount: ServiceMount) -> None:
        """Through a container that is never started. About 0.1 s."""
        api = self._engine.api
        mounted = [Mount(type="volume", source=volume, target=FILLED_AT)]
        config = api.create_host_config(mounts=mounted, network_mode="none")
        made: dict[str, Any] = api.create_container(
            image, entrypoint=["/bin/true"], labels=self._labels, host_config=config
        )
        try:
            with archive_of(self._folder / mount.source, FILLED_AT) as archive:
                api.put_archive(made["Id"], "/", cast("bytes", archive))
        finally:
            with suppress(docker.errors.NotFound):
                api.remove_container(made["Id"], force=True)

    def mounts_of(self, service: Service) -> list[Mount]:
        """What the engine mounts for a service."""
        return [
            Mount(type="volume", source=self._volume_of(mount), target=mount.target, read_only=mount.is_read_only)
            for mount in service.mounts
            if mount.kind != "file"
        ]

    def _volume_of(self, mount: ServiceMount) -> str | None:
        if mount.kind == "volume":
            return f"{self._prefix}_{mount.source}"
        return self._folders[mount.source] if mount.kind == "folder" else None

    async def lay_files(self, service: Service, container_id: str) -> None:
        """Copy the single files that a service mounts into its container, which has not started yet."""
        for mount in service.mounts:
            if mount.kind == "file":
                await self._engine.call(self._lay, container_id, self._folder / mount.source, mount.target)

    def _lay(self, container_id: str, source: Path, target: str) -> None:
        with archive_of(source, target) as archive:
            self._engine.api.put_archive(container_id, "/", cast("bytes", archive))

    async def remove(self) -> None:
        """Remove the volumes, once no container has them."""
        made, self._made = list(self._made), {}
        for name in made:
            await self._engine.call(_remove_volume, self._engine, name)


def _remove_volume(engine: Engine, name: str) -> None:
    with suppress(docker.errors.NotFound):
        engine.api.remove_volume(name, force=True)
