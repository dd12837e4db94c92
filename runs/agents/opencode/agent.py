"""OpenCode as an agent of a job: what is installed, how it is started, what it may reach, what it leaves behind."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.conversion.base import ConversionContext
from runs.agents.hosts import hosts_in
from runs.agents.install import NPM_PINNED, PLAIN, PREFIX, Install, Npm, Script, cli_path
from runs.agents.installed import ConfigFile, InstalledAgent, Launch
from runs.agents.opencode.config import provider_config, provider_packages, used_providers, whole_config
from runs.agents.opencode.converter import EXPORTS, STDOUT, OpenCodeConverter
from runs.agents.opencode.providers import PROVIDERS
from runs.agents.providers import runner_variables
from runs.sandboxes.base import AGENT_LOGS

CONFIG: Final = "~/.config/opencode/opencode.json"
# Where the skills of a job are laid; the user's own folder has links to them.
SKILLS: Final = f"{PREFIX}/skills"
QUIET: Final = {
    "OPENCODE_FAKE_VCS": "git",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
# Steps of one trial may share a home: only what was begun since is this run's.
_PREPARE: Final = 'mkdir -p "$HOME/.config/opencode/skills" && date +%s >"$HOME/.opencode-started"'
# To files, because an export into a pipe can be cut short.
EXPORT: Final = f"""
rm -rf {AGENT_LOGS}/{EXPORTS} && mkdir -p {AGENT_LOGS}/{EXPORTS} && cd {AGENT_LOGS}/{EXPORTS} || exit 1
started=$(cat "$HOME/.opencode-started") || exit 1
{cli_path("opencode")} db --format tsv "select id from session where time_created >= ${{started}}000
  order by time_created limit 200" </dev/null >.ids || exit 1
for id in $(grep -x 'ses_[A-Za-z0-9]*' .ids); do
  {cli_path("opencode")} export "$id" </dev/null >".$id" && mv ".$id" "$id.json"
done
rm -f .ids .ses_*
"""  # noqa: S608 - constants, and a time in the sandbox's own database
_VENDOR_SCRIPT: Final = """set -eu
curl -fsSL https://opencode.ai/install -o "$TMPDIR/opencode-install.sh"
bash "$TMPDIR/opencode-install.sh" --version {version} --no-modify-path
"""


class OpenCode(InstalledAgent):
    """`opencode run`, its questions off. Its sessions are exported when it has ended, however it did."""

    name = "opencode"
    title = "OpenCode"
    tested_version = "1.18.33"
    stdout_log = STDOUT
    converter_type = OpenCodeConverter
    # A second or more of computing for each session, on a machine that may be busy.
    after_sec = 30.0
    variables = tuple(dict.fromkeys(name for provider in PROVIDERS.values() for name in provider.variables))
    arguments = (
        Argument("variant", "text", "The model's variant, mostly how hard it thinks: minimal, high, max, ..."),
        Argument(
            "opencode_config",
            "object",
            "Settings that go over those this agent makes for opencode.json. An npm package of a provider needs its"
            " exact version (name@1.2.3), so that it is installed before the network is closed.",
            default={},
        ),
        Argument(
            "install_method",
            "choice",
            "From the npm registry, or by the vendor's own script (opencode.ai, then GitHub).",
            default="package",
            choices=("package", "script"),
        ),
    )

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        self._own: dict[str, Any] = self.values["opencode_config"]

    def install(self) -> Install:
        """The CLI, which brings its binary along, and the provider packages that the job names."""
        if not PLAIN.fullmatch(self.version):
            raise AgentArgumentInvalid(self.name, "version", f"{self.version!r} is no version")
        packages = [name for name in provider_packages(self._own) if NPM_PINNED.fullmatch(name)]
        if self.values["install_method"] == "script":
            if packages:
                complaint = f"the vendor's script cannot install {packages[0]}, which opencode_config names"
                raise AgentArgumentInvalid(self.name, "install_method", complaint)
            script = Script(_VENDOR_SCRIPT.format(version=self.version), f"{PREFIX}/home/.opencode/bin")
            programs = ("bash", "curl", "git", "rg", "tar")
            return Install(self.name, self.version, script, clis=("opencode",), programs=programs)
        # Its program is only put in place by its install script.
        method = Npm((f"opencode-ai@{self.version}", *packages), runs_scripts=True)
        return Install(self.name, self.version, method, clis=("opencode",), programs=("git", "rg"))

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, and the runner's of those providers alone that the run calls at their own address."""
        used = [
            PROVIDERS[name]
            for name in used_providers(self._own, self.model_name or "")
            if name in PROVIDERS and not hosts_in(provider_config(self._own, name))
        ]
        wanted = runner_variables(used, env)
        return {name: value for name, value in super().environment(env).items() if name in env or name in wanted}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """For each provider in use the URLs of the job's config, else its variable's, else its own; and MCP servers."""
        known = self.environment(env)
        found: list[str] = []
        for name in used_providers(self._own, self._model()):
            own = hosts_in(provider_config(self._own, name))
            found += own or (PROVIDERS[name].hosts_of(known) if name in PROVIDERS else [])
        found += hosts_in(self._own.get("mcp"))
        return list(dict.fromkeys(found))

    def context(self, instruction: str | None = None) -> ConversionContext:
        """The variant is what other agents call the reasoning effort."""
        return replace(super().context(instruction), reasoning_effort=self.values["variant"])

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """Start it on the instruction, which it reads as its input: as an argument it would be put into quotes.

        With a title given there is no call for one, which no log would tell.
        """
        model = self._model()
        packages = provider_packages(self._own)
        if run.is_closed:
            self._check_packages(packages)
        own = whole_config(self._own, model_name=model, env=env, mcp_servers=run.mcp_servers, is_closed=run.is_closed)
        argv = [cli_path("opencode"), f"--model={model}", "run", "--format=json", "--thinking", "--title=trial"]
        argv.append("--dangerously-skip-permissions")
        if self.values["variant"]:
            argv.append(f"--variant={self.values['variant']}")
        pinned = [name for name in packages if NPM_PINNED.fullmatch(name)]
        return Launch(
            argv=tuple(argv),
            env={name: value for name, value in QUIET.items() if name not in env},
            files=(ConfigFile(CONFIG, json.dumps(own, ensure_ascii=False, indent=2) + "\n", is_secret=True),),
            prepare=" && ".join((_PREPARE, *map(_linked_package, pinned), *map(_linked_skill, run.skills))),
            uploads=tuple((skill, f"{SKILLS}/{skill.name}") for skill in run.skills),
            stdin=instruction.encode(),
        )

    async def after(self, run: AgentRun) -> None:
        """Export the sessions; without that the trajectory is what was printed."""
        await run.sandbox.exec(EXPORT, env=QUIET, user=run.user)

    def _model(self) -> str:
        model = self.model_name or ""
        provider, _, name = model.partition("/")
        if not provider or not name:
            raise AgentArgumentInvalid(self.name, "model_name", f"{model!r} is not of the form provider/model")
        return model

    def _check_packages(self, packages: list[str]) -> None:
        for name in packages:
            if not NPM_PINNED.fullmatch(name):
                complaint = f"{name!r} cannot be fetched in a closed sandbox: name its exact version, as {name}@1.2.3"
                raise AgentArgumentInvalid(self.name, "opencode_config", complaint)


def _linked_package(spec: str) -> str:
    """Lay an installed package where OpenCode looks before it fetches one."""
    name = spec[: spec.rindex("@")]
    folder = f'"${{XDG_CACHE_HOME:-$HOME/.cache}}"/opencode/packages/{shlex.quote(spec)}/node_modules'
    parent = f"{folder}/{shlex.quote(name.partition('/')[0])}" if "/" in name else folder
    return (
        f"mkdir -p {parent} && ln -sfn {PREFIX}/npm/lib/node_modules/{shlex.quote(name)} {folder}/{shlex.quote(name)}"
    )


def _linked_skill(skill: Path) -> str:
    name = shlex.quote(skill.name)
    return f'ln -sfn {SKILLS}/{name} "$HOME/.config/opencode/skills/"{name}'
