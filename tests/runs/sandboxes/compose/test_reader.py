"""Compose files: what is understood, and that all else is refused by file, service and key."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.errors import TaskInvalid
from runs.formats.task_directory import load_task
from runs.sandboxes.compose.keys import REFUSED
from runs.sandboxes.compose.model import Attachment, Check, ComposeFile, Dependency, Service, ServiceMount
from runs.sandboxes.compose.reader import host_variables, parse_compose, read_compose
from tests.support.tasks import CLOSED, make_task

FILE = "docker-compose.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An environment/ with a build context, a folder and a file."""
    (tmp_path / "environment" / "web").mkdir(parents=True)
    (tmp_path / "environment" / "web" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "environment" / "data").mkdir()
    (tmp_path / "environment" / "web.conf").write_text("x")
    (tmp_path / "tests").mkdir()
    return tmp_path / "environment"


def read(folder: Path, text: str, **variables: str) -> ComposeFile:
    return parse_compose(text, path=folder / FILE, variables=variables.get)


def service(folder: Path, body: str, **variables: str) -> Service:
    """The service `web` with these lines."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    text = f"services:\n  web:\n    image: base\n{lines}networks: {{back: }}\nvolumes: {{store: }}\n"
    return read(folder, text, **variables).service("web")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(TaskInvalid) as caught:
        read(folder, text)
    assert caught.value.path == folder / FILE
    return caught.value.reason


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ("command: serve --port '80 80'", "command", ("serve", "--port", "80 80")),
        ("command: [serve, 8080]", "command", ("serve", "8080")),
        ("entrypoint: []", "entrypoint", ()),
        ("environment: {A: 1, B: true, C: text}", "env", {"A": "1", "B": "true", "C": "text"}),
        ("environment: ['A=1', 'B=x=y', 'C=']", "env", {"A": "1", "B": "x=y", "C": ""}),
        ("working_dir: /srv", "workdir", "/srv"),
        ("user: 1000", "user", "1000"),
        ("mem_limit: 512m", "memory_bytes", 512 * 1024**2),
        ("deploy: {resources: {limits: {cpus: '0.5', memory: 1G}}}", "cpus", 0.5),
        ("cpus: 2", "cpus", 2.0),
        ("shm_size: 64mb", "shm_bytes", 64 * 1024**2),
        ("init: true", "has_init", True),
        ("read_only: true", "is_read_only", True),
        ("hostname: db.local", "hostname", "db.local"),
        ("extra_hosts: ['api.test:10.0.0.1']", "extra_hosts", (("api.test", "10.0.0.1"),)),
        ("tmpfs: ['/run:size=64m', /tmp]", "tmpfs", (("/run", "size=64m"), ("/tmp", ""))),
        ("volumes: ['store:/var/lib:ro']", "mounts", (ServiceMount("volume", "store", "/var/lib", True),)),
        ("volumes: [/scratch]", "mounts", (ServiceMount("anonymous", "", "/scratch"),)),
        ("volumes: ['./data:/data']", "mounts", (ServiceMount("folder", "data", "/data"),)),
        (
            "volumes: [{type: bind, source: ./web.conf, target: /etc/web.conf, read_only: true}]",
            "mounts",
            (ServiceMount("file", "web.conf", "/etc/web.conf", True),),
        ),
        ("volumes: [{type: tmpfs, target: /cache}]", "tmpfs", (("/cache", ""),)),
        ("networks: [back]", "networks", (Attachment("back"),)),
        ("networks: {back: {aliases: [store]}}", "networks", (Attachment("back", ("store",)),)),
        ("container_name: shop", "networks", (Attachment("default", ("shop",)),)),
        ("depends_on: [main]", "dependencies", (Dependency("main", "service_started"),)),
        ("healthcheck: {test: curl -f x, retries: 5}", "check", Check(("/bin/sh", "-c", "curl -f x"), retries=5)),
        (
            "healthcheck: {test: [CMD, redis-cli, ping], interval: 1m30s, timeout: 500ms}",
            "check",
            Check(("redis-cli", "ping"), interval_sec=90.0, timeout_sec=0.5),
        ),
        ("healthcheck: {test: x, interval: 0s}", "check", Check(("/bin/sh", "-c", "x"))),
        ("healthcheck: {disable: true}", "check", Check(())),
        ("security_opt: ['no-new-privileges:true']", "hostname", None),
        ("privileged: false", "hostname", None),
        ("x-note: {anything: [goes]}", "hostname", None),
        ("labels: {a: b}\nlogging: {driver: none}\nexpose: [80]", "hostname", None),
    ],
)
def test_the_common_keys_are_understood(folder: Path, body: str, field: str, value: object) -> None:
    assert getattr(service(folder, body), field) == value


def test_a_build_lies_inside_the_environment(folder: Path) -> None:
    text = "services: {web: {build: {context: ./web, args: {A: 1}}}, other: {build: web}}"
    build = read(folder, text).service("web").build
    assert build is not None
    assert (build.context, build.dockerfile, build.args) == (folder / "web", "Dockerfile", (("A", "1"),))
    for context in ("..", "../tests", "/etc", "~"):
        assert "build" in refusal(folder, f"services: {{web: {{build: {context}}}}}")


def test_services_come_after_those_they_wait_for_and_main_is_always_there(folder: Path) -> None:
    text = "services: {c: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}, a: {image: i}}"
    compose = read(folder, text)
    assert [item.name for item in compose.services] == ["a", "b", "c", "main"]
    assert compose.main == Service("main")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("privileged: true", "'privileged' is refused: a privileged container"),
        ("network_mode: host", "'network_mode' is refused"),
        ("pid: host", "'pid' is refused"),
        ("cap_add: [NET_ADMIN]", "'cap_add' is refused"),
        ("devices: [/dev/kvm]", "'devices' is refused"),
        ("security_opt: ['seccomp:unconfined']", "'security_opt' is refused"),
        ("secrets: [key]", "'secrets' is refused"),
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']", "outside of the task's environment/"),
        ("volumes: ['../tests:/data']", "outside of the task's environment/"),
        ("volumes: ['~/.ssh:/keys']", "does not exist"),
        ("volumes: ['link:/x']", "the volume 'link' is not declared"),
        ("volumes: [{type: npipe, source: x, target: /x}]", "npipe"),
        ("volumes: ['./data:/']", "nothing can be mounted at /"),
        ("volumes: ['./data:/logs/agent']", "nothing can be mounted at /logs/agent"),
        ("volumes: ['./data:/logs']", "nothing can be mounted at /logs,"),
        ("tmpfs: /solution", "nothing can be mounted at /solution"),
        ("volumes: ['./data:/tests/more']", "nothing can be mounted at /tests/more"),
        ("networks: {back: {ipv4_address: 10.0.0.2}}", "networks.back.ipv4_address"),
        ("networks: [front]", "the network 'front' is not declared"),
        ("extra_hosts: ['machine:host-gateway']", "way out"),
        ("depends_on: [nobody]", "there is no service 'nobody'"),
        ("depends_on: {main: {condition: service_happy}}", "service_happy"),
        ("environment: [HOME]", "HOME has no value"),
        ("mem_limit: lots", "not a size"),
        ("cpus: -1", "positive number"),
        ("healthcheck: {test: [RUN, x]}", "begins with CMD"),
        ("healthcheck: {test: x, interval: 5}", "not a duration"),
        ("deploy: {replicas: 3}", "deploy.replicas"),
        ("deploy: {resources: {reservations: {devices: [{driver: nvidia}]}}}", "reservations.devices"),
        ("image: ''\nbuild:", "needs 'image' or 'build'"),
        ("teleport: true", "'teleport' is refused"),
    ],
)
def test_what_is_not_understood_is_refused_by_service_and_key(folder: Path, body: str, words: str) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    image = "" if "image:" in body else "    image: base\n"
    text = f"services:\n  web:\n{image}{lines}networks: {{back: }}\n"
    reason = refusal(folder, text)
    assert reason.startswith("service 'web'")
    assert words in reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "table 'services'"),
        ("services: []", "should be a table"),
        ("services: {web: {image: i}}\nsecrets: {a: {file: x}}", "'secrets' is refused"),
        ("services: {web: {image: i}}\ninclude: [x.yaml]", "'include' is refused"),
        ("services: {web: {image: i}}\nnetworks: {a: {external: true}}", "'networks.a.external' is refused"),
        ("services: {web: {image: i}}\nnetworks: {a: {driver: host}}", "'networks.a.driver' is refused"),
        ("services: {web: {image: i}}\nvolumes: {a: {external: true}}", "'volumes.a.external' is refused"),
        ("services: {web: {image: i}}\nvolumes: {a: {driver_opts: {device: /}}}", "'volumes.a.driver_opts' is refused"),
        ("services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}", "wait for each other"),
        ("services: {'../web': {image: i}}", "not a name"),
        ("services: {web: {image: '${A'}}", "brace is not closed"),
        ("services: {web: {image: '${A:?say which}'}}", "the variable A must be set: say which"),
        ("services: &a {web: *a}", "refers to itself"),
    ],
)
def test_a_file_that_cannot_be_honoured_is_refused_with_its_path(folder: Path, text: str, words: str) -> None:
    assert words in refusal(folder, text)


def test_every_reason_of_ours_belongs_to_a_key_that_is_refused(folder: Path) -> None:
    of_others = {"external", "driver_opts", "ipam", "include", "target", "dockerfile_inline", "security_opt"}
    for key in REFUSED.keys() - of_others:
        assert (
            f"'{key}' is refused" in refusal(folder, f"services: {{web: {{image: i, {key}: [x]}}}}")
            or key == "privileged"
        )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$A-${A}", "one-one"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}${EMPTY-three}", "two"),
        ("${A:+set}${B+set}", "set"),
        ("${B:-${C:-deep}}", "deep"),
        ("$$A", "$A"),
        ("${B}", ""),
        ("${A:?must}", "one"),
    ],
)
def test_variables_have_the_forms_of_compose(folder: Path, written: str, value: str) -> None:
    assert service(folder, f"environment: {{X: '{written}'}}", A="one", EMPTY="").env == {"X": value}


def test_what_a_variable_holds_is_not_expanded_again(folder: Path) -> None:
    assert service(folder, "environment: {X: $A}", A="$B", B="no").env == {"X": "$B"}


def test_variables_that_are_not_set_and_keys_without_effect_are_warned_of(folder: Path) -> None:
    text = "services: {web: {image: i, ports: ['80:80'], restart: always, environment: {A: $MISSING}}}"
    assert read(folder, text).warnings == (
        "variables that are not set are empty: MISSING",
        "service 'web': 'ports' has no effect: no port is published on the machine",
        "service 'web': 'restart' has no effect: a service that ends stays ended",
    )


HARBORS_OWN = """
services:
  main:
    build: {context: "${CONTEXT_DIR}"}
    image: ${MAIN_IMAGE_NAME}
    container_name: ${NAME_OF_CONTAINER:-main}
    command: [sh, -c, sleep infinity]
    environment: ["TEST_DIR=${TEST_DIR}", "GREETING=${GREETING}", "PLACE=${PIER_TEST_PLACE}"]
    volumes:
      - ${HOST_VERIFIER_LOGS_PATH}:${ENV_VERIFIER_LOGS_PATH}
      - ${HOST_AGENT_LOGS_PATH}:${ENV_AGENT_LOGS_PATH}
    deploy: {resources: {limits: {cpus: "${CPUS}", memory: "${MEMORY}"}}}
  copy: {image: "${MAIN_IMAGE_NAME}"}
"""


def test_the_variables_that_older_tasks_use_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIER_TEST_PLACE", "here")
    toml = CLOSED + 'cpus = 2\nmemory_mb = 512\nenv = {GREETING = "hello"}\n'
    task = make_task(tmp_path, toml=toml)
    (task / "environment" / FILE).write_text(HARBORS_OWN)
    loaded = load_task(task)
    compose = read_compose(loaded)
    assert compose is not None
    main = compose.main
    assert main.env == {"TEST_DIR": "/tests", "GREETING": "hello", "PLACE": "here"}
    assert (main.mounts, main.cpus, main.memory_bytes) == ((), 2.0, 512 * 1024**2)
    assert main.build is not None
    assert main.build.context == task / "environment"
    assert host_variables(loaded) == ["PIER_TEST_PLACE"]


KEYS = st.sampled_from(
    ["services", "web", "main", "image", "build", "volumes", "networks", "depends_on", "healthcheck", "test", "deploy",
     "environment", "tmpfs", "extra_hosts", "context", "aliases", "internal", "external", "x-a", "resources", "limits",
     "command", "ports", "retries", "interval", "condition", "source", "target", "type", "", "a/b", "\0"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["bind", "./data:/data", "a:b:c:d", "${A", "$$", "${A:-$B}", "1m", "10s", "../..", "/", "CMD", "\0"]
    ),
    st.text(max_size=8),
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@settings(max_examples=300, deadline=None)
@given(tree=TREES)
def test_no_document_makes_the_reader_raise_anything_but_its_own_error(tree: object) -> None:
    import json

    document = {"services": {"web": tree, "main": {"volumes": tree}}, "networks": {"a": tree}}
    for text in (json.dumps(document), json.dumps(tree), json.dumps({"services": tree})):
        try:
            found = parse_compose(text, path=Path("/nowhere/environment/docker-compose.yaml"))
        except TaskInvalid:
            continue
        assert found.main.name == "main"


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_no_text_makes_the_reader_raise_anything_but_its_own_error(text: str) -> None:
    for whole in (text, f"services: {{web: {{image: {text}}}}}"):
        try:
            parse_compose(whole, path=Path("/nowhere/environment/docker-compose.yaml"))
        except TaskInvalid:
            continue
