"""A trial's containers together: the sandbox of a task with a compose file. The agent works in `main`."""

import asyncio
from dataclasses import replace
from typing import Any

from runs.checkpoints import Checkpoint, checkpoint
from runs.errors import SandboxFailed
from runs.sandboxes.base import OnOutput, Resources, Sandbox, SandboxSpec
from runs.sandboxes.compose.model import MAIN, ComposeFile, Dependency
from runs.sandboxes.compose.networks import ServiceNetwork, TrialNetworks
from runs.sandboxes.compose.service import ServiceContainer, adapt, wait_until_healthy
from runs.sandboxes.compose.volumes import TrialVolumes
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.engine import Engine


def docker_sandbox(spec: SandboxSpec, engine: Engine) -> DockerSandbox:
    """The sandbox for a spec: one container, or several."""
    return ComposeSandbox(spec, engine, spec.compose) if spec.compose else DockerSandbox(spec, engine)


class ComposeSandbox(DockerSandbox):
    """`main` as any Docker sandbox, and the services beside it, which outlive the agent's processes."""

    def __init__(self, spec: SandboxSpec, engine: Engine, compose: ComposeFile) -> None:
        super().__init__(spec, engine)
        self.compose = compose
        self.networks = TrialNetworks(engine, compose, spec)
        self.volumes = TrialVolumes(engine, compose, spec)
        self.network = ServiceNetwork(engine, spec.network, spec.network_log, self.networks, compose.main)
        bare = replace(spec, env={}, mounts=(), resources=Resources(), workdir=None, install=None)
        self.services = {
            service.name: ServiceContainer(
                replace(bare, name=f"{spec.name}-{service.name}"), engine, service, self.networks, self.volumes
            )
            for service in compose.services
            if service.name != MAIN
        }

    async def start(self, *, log: OnOutput) -> None:
        """Networks and volumes, then each service once what it waits for is there, then all of them up."""
        self.waiting_for = "its networks"
        await self.networks.make()
        await self.volumes.make()
        checkpoint(Checkpoint.NETWORKS_CREATED)
        for service in self.compose.services:
            for dependency in service.dependencies:
                await self._wait_for(dependency)
            self.waiting_for = f"service {service.name!r} to start"
            if service.name == MAIN:
                await super().start(log=log)
            else:
                await self.services[service.name].start(log=log)
        for name, container in self.services.items():
            if name not in self._one_shots():
                self.waiting_for = f"service {name!r} to be up"
                await container.wait_until_up()
        check = self.compose.main.check
        if check and check.argv:
            self.waiting_for = "the health check of main"
            await wait_until_healthy(self, check)
        self.waiting_for = ""
        checkpoint(Checkpoint.SERVICES_STARTED)

    async def _wait_for(self, dependency: Dependency) -> None:
        self.waiting_for = f"service {dependency.service!r} ({dependency.condition})"
        if dependency.service != MAIN:
            await self.services[dependency.service].wait_until(dependency.condition)
        elif dependency.condition == "service_completed_successfully":
            raise SandboxFailed("a service waits for the end of main, in which the agent is to work")
        elif dependency.condition == "service_healthy":
            check = self.compose.main.check
            if not (check and check.argv):
                raise SandboxFailed("main is waited for as healthy, and has no health check")
            await wait_until_healthy(self, check)

    def _one_shots(self) -> set[str]:
        """Services that are to end: others wait for that."""
        conditions = [item for service in self.compose.services for item in service.dependencies]
        return {item.service for item in conditions if item.condition == "service_completed_successfully"}

    async def _make(self, image: str) -> None:
        await self.volumes.prepare(self.compose.main, image)
        await super()._make(image)
        await self.volumes.lay_files(self.compose.main, self._container())

    def _adapt(self, host_options: dict[str, Any], options: dict[str, Any]) -> None:
        adapt(self.compose.main, host_options, options, self.networks, self.volumes)

    def part(self, service: str) -> Sandbox:
        """The service's container."""
        if service == MAIN:
            return self
        if service in self.services:
            return self.services[service]
        raise SandboxFailed(f"there is no service {service!r}")

    async def troubles(self) -> list[str]:
        """The services that have ended, though nobody waited for that."""
        found = []
        for name, container in self.services.items():
            if name not in self._one_shots() and not (state := await container.state())["Running"]:
                found.append(f"service {name!r} has ended with exit code {state['ExitCode']}")
        return found

    async def stop(self) -> None:
        """Keep what the services wrote; then remove all containers, and the networks and volumes after them."""
        if folder := self.spec.service_logs:
            await asyncio.gather(*(container.keep_log(folder) for container in self.services.values()))
        containers = (super().stop(), *(container.stop() for container in self.services.values()))
        outcomes = await asyncio.gather(*containers, return_exceptions=True)
        outcomes += await asyncio.gather(self.networks.remove(), self.volumes.remove(), return_exceptions=True)
        if errors := [outcome for outcome in outcomes if isinstance(outcome, BaseException)]:
            raise errors[0]
