"""Which card a tool's call gets: by the tool's name, whichever agent it is of, else by what its arguments look like."""

import re
from collections.abc import Mapping
from typing import Any

from runs.calls.shell import shell_command

SHELL, EDIT, READ, SEARCH, WEB = "shell", "edit", "read", "search", "web"
TODO, AGENT, IMAGE, MCP, THINK, FINISH, OTHER = "todo", "agent", "image", "mcp", "think", "finish", "other"

# Names without case and punctuation, so that write_file, WriteFile and write-file are one.
_NAMES: Mapping[str, str] = {
    SHELL: "bash shell localshell execcommand commandexecution runshellcommand runcommand runterminalcmd executebash "
    "bashcommand terminal runinterminal shellcommand writestdin writebash readbash stopbash bashoutput killshell "
    "killbash powershell execute executecommand runbash readshelloutput writetoshell listbash listpowershell",
    EDIT: "edit multiedit write writefile replace strreplace strreplaceeditor strreplacebasededittool applypatch "
    "patch editfile createfile create insert notebookedit searchreplace deletefile filechange strreplaceedit",
    READ: "read readfile readfiles readmanyfiles view viewfile cat open openfile notebookread getfilecontents",
    SEARCH: "grep glob ls list listdir listdirectory listfiles search searchfiles searchfilecontent greptool "
    "grepsearch filesearch codebasesearch semsearch findfile searchdir searchfile rg ripgrep find toolsearch "
    "finddirectory",
    WEB: "websearch webfetch fetch googlewebsearch fetchurl readurl openurl urlfetch webopen readurlcontent searchweb "
    "browser browserinteractive navigate browse",
    TODO: "todowrite todoread updateplan writetodos updatetodo todo tasktracker todolist updatetodos managetodolist "
    "updatetodostool",
    AGENT: "task agent spawnagent waitagent invokeagent startsubagent delegate subagent sendinput resumeagent "
    "closeagent sendmessage readagent listagents",
    IMAGE: "viewimage imagegeneration screenshot takescreenshot generateimage",
    THINK: "think thought sequentialthinking",
    FINISH: "finish submit attemptcompletion marktaskcomplete completetask taskcomplete done exitplanmode",
}  # fmt: skip
_KINDS: Mapping[str, str] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_PUNCTUATION = re.compile(r"[\W_]+")
_MCP = re.compile(r"mcp__(?P<server>.+?)(?:__(?P<tool>.+))?")

PATHS = ("file_path", "filePath", "path", "absolute_path", "notebook_path", "target_file", "filename")
_COMMANDS = ("command", "cmd", "script", "keystrokes", "command_line", "commands")
# Arguments that say in a few words what a call is about, the most telling first.
_TITLES = (
    *PATHS, "dir_path", "relative_path", "target_directory", "pattern", "query", "glob_pattern", "regex", "url",
    "uri", "description", "task_name", "agent_name", "name", "subject", "prompt", "message", "title", "topic",
)  # fmt: skip


def kind_of(name: str, arguments: Mapping[str, Any], namespace: str) -> str:
    """The kind of card."""
    if name.startswith("mcp__") or namespace.startswith("mcp__"):
        return MCP
    plain = _PUNCTUATION.sub("", name).lower()
    if kind := _KINDS.get(plain, ""):
        return _of_editor(kind, arguments)
    if plain.startswith("delegate") or "subagent" in plain:
        return AGENT
    if any(isinstance(arguments.get(key), str | list) for key in ("command", "cmd")) and not path_in(arguments):
        return SHELL
    return OTHER


def _of_editor(kind: str, arguments: Mapping[str, Any]) -> str:
    """Editors have one tool for all: what it does is its argument `command`."""
    if kind is EDIT and arguments.get("command") in ("view", "read"):
        return READ
    if kind is READ and "view" not in arguments and arguments.get("command") == "str_replace":
        return EDIT
    return kind


def mcp_names(name: str, namespace: str) -> tuple[str, str]:
    """The server and the tool of an MCP call."""
    if found := _MCP.fullmatch(name):
        return found["server"], found["tool"] or name
    found = _MCP.fullmatch(namespace)
    return (found["server"] if found else namespace), name


def path_in(arguments: Mapping[str, Any]) -> str:
    """The file that a call names, or an empty text."""
    return next((value for key in PATHS if isinstance(value := arguments.get(key), str)), "")


def take_command(arguments: dict[str, Any]) -> str:
    """What a shell tool was told to run, taken out of its arguments; without the shell that it is handed to."""
    for key in _COMMANDS:
        if command := shell_command({"command": arguments.get(key)}):
            del arguments[key]
            return command
    return ""


def take_title(arguments: dict[str, Any]) -> str:
    """The short argument that says what a call is about, taken out of them."""
    key = next((key for key in _TITLES if _is_short(arguments.get(key))), None)
    return str(arguments.pop(key)) if key else ""


def _is_short(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and "\n" not in value
