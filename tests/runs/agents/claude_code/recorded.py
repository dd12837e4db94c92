"""The recorded runs of Claude Code, and how what the server gave is written in its logs."""

from dataclasses import replace

from tests.support.conversion import Files, Golden, Said, golden_folders, load_golden

FOLDERS = {folder.name: folder for folder in golden_folders("claude-code")}
GOLDEN = {name: load_golden(folder) for name, folder in FOLDERS.items()}
STDOUT = "claude-code.txt"
# The model's first call in the scenarios was refused for ever, so that there is nothing to compare.
ANSWERED = sorted(set(FOLDERS) - {"auth"})


def session_of(golden: Golden) -> str:
    """The path of the main session's file."""
    return next(path for path in golden.files if path.startswith("sessions/projects/") and path.count("/") == 3)


def without(golden: Golden, *ends: str) -> Files:
    """The logs but those whose path ends so."""
    return {path: data for path, data in golden.files.items() if not path.endswith(ends)}


def as_logged(said: Said) -> Said:
    """What the server gave, as the CLI writes it down: it takes a `cd` into its own folder away."""
    calls = []
    for call in said.calls:
        assert isinstance(call.arguments, dict)
        arguments = dict(call.arguments)
        if isinstance(arguments.get("command"), str):
            arguments["command"] = arguments["command"].removeprefix("cd /app && ")
        if call.name == "Edit":
            arguments.setdefault("replace_all", False)
        identity = call.id if call.id.startswith("toolu_") else f"toolu_{call.id}"
        calls.append(replace(call, id=identity, arguments=arguments))
    return replace(said, calls=tuple(calls))


def told(golden: Golden, *threads: str) -> list[Said]:
    """What the server answered whole on these threads, as the CLI writes it down."""
    return [as_logged(said) for said in golden.said(*threads)]
