"""deploy/: what it sets exists, what it runs is understood, its paths and ports agree, both proxies
let in only what they should."""

import http.client
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bridge.cli import main
from bridge.settings import PREFIX, Settings
from bridge.simulator import Simulator
from tests.support.commands import COMMANDS
from tests.support.stack import Stack, free_port
from tests.support.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
IMAGE = "purpledot-shipstation-bridge"
TOKEN = "t0ken-that-no-log-may-hold"
FILES = sorted(
    path
    for path in DEPLOY.rglob("*")
    if path.is_file() and path.suffix != ".png" and "__pycache__" not in path.parts
)
UNITS = sorted(
    path
    for path in (DEPLOY / "systemd").iterdir()
    if path.suffix in (".service", ".socket", ".timer")
)
Json = dict[str, Any]


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def manifests() -> Iterator[Json]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def services(profile: str) -> dict[str, Json]:
    """The services of compose.yaml that this profile starts."""
    return {
        name: service
        for name, service in yaml.safe_load(text("compose.yaml"))["services"].items()
        if profile in service["profiles"]
    }


def pods() -> dict[str, Json]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in manifests()
        if one["kind"] in ("Deployment", "Job")
    }


def commands() -> Iterator[tuple[str, str]]:
    """Each command line that something in deploy/ starts, with where it stands."""
    yield (
        "Dockerfile",
        " ".join(json.loads(re.findall(r"^CMD (.*)$", text("Dockerfile"), re.MULTILINE)[0])),
    )
    for profile in ("one", "scale"):
        yield from (
            (f"compose.yaml, {name}", one["command"])
            for name, one in services(profile).items()
            if one.get("image") == IMAGE
        )
    yield from (
        (f"kubernetes, {name}", " ".join(pod["spec"]["containers"][0]["command"]))
        for name, pod in pods().items()
    )
    yield from (
        (f"render.yaml:{line}", line)
        for line in re.findall(r"Command: (bridge .*)", text("render.yaml"))
    )
    fly = tomllib.loads(text("fly.toml"))
    yield from (
        ("fly.toml", line)
        for line in [fly["deploy"]["release_command"], *fly["processes"].values()]
    )
    for unit in UNITS:
        yield from (
            (unit.name, found)
            for found in re.findall(r"/opt/bridge/bin/(bridge [^'\n]*)", unit.read_text())
        )
    for found in re.findall(
        r"(?:`|bridge |^ +| -- )(?:pd)?bridge ([a-z][^`\n#…]*)", text("README.md"), re.MULTILINE
    ):
        yield "README.md", f"bridge {found}"


# What is named exists


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    names = [PREFIX + name.upper() for name in Settings.model_fields]
    known = {*names, *(f"{name}_FILE" for name in names)}

    assert (
        set(re.findall(r"\bBRIDGE_[A-Z][A-Z0-9_]*[A-Z0-9]", path.read_text(encoding="utf-8")))
        <= known
    )


@pytest.mark.parametrize(("where", "line"), list(commands()))
def test_every_command_that_is_started_is_understood(where: str, line: str) -> None:
    program, name, *arguments = shlex.split(line.replace("$$", "").replace("%%", "%"))

    assert program == "bridge", where
    context = click.Context(main, **main.context_settings)
    COMMANDS[name].make_context(name, arguments, parent=context, resilient_parsing=False).close()


def test_every_file_is_explained_to_who_looks_for_one() -> None:
    guide = text("README.md")
    named = [path.relative_to(DEPLOY) for path in FILES if path.name != "README.md"]

    assert [
        str(name)
        for name in named
        if f"({name})" not in guide and f"({name.parts[0]}/)" not in guide
    ] == []


def test_links_of_the_guide_lead_somewhere() -> None:
    links = [
        link.partition("#")[0]
        for link in re.findall(r"\]\((?!https:)([^)\s]+)\)", text("README.md"))
    ]

    assert [link for link in links if not (DEPLOY / link).exists()] == []


# The image


def test_image_is_made_of_what_is_there_and_not_ignored(project: Path) -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text("Dockerfile"), re.MULTILINE)
        for name in line.split()
    }
    ignore = (project / ".dockerignore").read_text().splitlines()

    assert "*" in ignore
    assert {f"!{name}" for name in copied} == {line for line in ignore if line.startswith("!")}
    assert [name for name in copied if not (project / name).exists()] == []


def test_image_runs_as_nobody_and_keeps_its_database_where_the_volume_is() -> None:
    dockerfile = text("Dockerfile")

    assert re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE) == ["10001"]
    assert "VOLUME /data" in dockerfile
    assert "BRIDGE_DATABASE_URL=sqlite:////data/" in dockerfile


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (None, 1)])
def test_health_check_of_the_image_says_whether_the_receiver_answers(
    status: int | None, exit_code: int
) -> None:
    command = json.loads(
        re.findall(
            r"^HEALTHCHECK .*? CMD (\[.*?\])$", text("Dockerfile").replace("\\\n", ""), re.MULTILINE
        )[0]
    )
    with backend(status or 200) as (port, _):
        code = command[2].replace("8000", str(port if status else free_port()))

        assert (
            subprocess.run(
                [sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False
            ).returncode
            == exit_code
        )


# Compose


def test_two_set_ups_of_compose_share_nothing_but_the_proxy() -> None:
    assert set(services("one")) & set(services("scale")) == {"proxy"}
    assert set(services("one")) == {"bridge", "proxy"}


@pytest.mark.parametrize("profile", ["one", "scale"])
def test_each_container_of_ours_may_write_nowhere_else_and_has_the_settings(profile: str) -> None:
    ours = [service for service in services(profile).values() if service["image"] == IMAGE]

    assert all(
        one["read_only"]
        and one["tmpfs"] == "/tmp:size=64m"
        and one["init"]
        and one["cap_drop"] == ["ALL"]
        and one["env_file"] == "../.env"
        for one in ours
    )


def test_scaled_set_up_has_two_of_each_and_starts_them_once_the_schema_is_there() -> None:
    scale = services("scale")

    assert [scale[name]["deploy"]["replicas"] for name in ("receiver", "worker")] == [2, 2]
    assert all(
        scale[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        for name in ("receiver", "worker")
    )


# Kubernetes


def test_kustomization_names_the_manifests_and_the_rest_are_examples() -> None:
    source = text("kubernetes/kustomization.yaml")
    used, offered = (
        set(re.findall(r"^  - (\w+\.yaml)", source, re.MULTILINE)),
        set(re.findall(r"^  # - (\w+\.yaml)", source, re.MULTILINE)),
    )

    assert used | offered | {"kustomization.yaml"} == {
        path.name for path in (DEPLOY / "kubernetes").iterdir()
    }


@pytest.mark.parametrize(("name", "pod"), list(pods().items()), ids=list(pods()))
def test_pod_is_hardened_and_told_its_settings(name: str, pod: Json) -> None:
    (container,) = pod["spec"]["containers"]

    assert container["image"] == IMAGE
    assert container["envFrom"] == [{"secretRef": {"name": "bridge-settings"}}]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == name


def test_receivers_are_asked_healthz_alone() -> None:
    """One taken out of service for the worker's silence would lose webhooks."""
    (receiver,) = pods()["bridge-receiver"]["spec"]["containers"]

    assert {
        receiver[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    } == {"/healthz"}


def test_selectors_and_targets_of_the_manifests_meet_pods_that_are_there() -> None:
    found = {
        (one["kind"], one["metadata"]["name"]): one["spec"]
        for one in manifests()
        if one["kind"] != "Kustomization"
    }
    selected = {
        spec["selector"].get("matchLabels", spec["selector"])["app.kubernetes.io/name"]
        for spec in found.values()
        if "selector" in spec
    }
    scaled = found["HorizontalPodAutoscaler", "bridge-worker"]

    assert selected == {"bridge-receiver", "bridge-worker"}
    assert ("Deployment", scaled["scaleTargetRef"]["name"]) in found
    assert scaled["metrics"][0]["external"]["metric"]["name"] in text("prometheus-rules.yml")


# systemd


def installed(unit: Path, folder: Path) -> Path:
    """As it would lie in /etc/systemd/system, with a program that is there."""
    for each in UNITS:
        (folder / each.name).write_text(
            each.read_text().replace("/opt/bridge/bin/bridge", sys.executable)
        )
    return folder / unit.name


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_the_unit(unit: Path, tmp_path: Path) -> None:
    verified = analyze(
        "verify", "--man=no", "--recursive-errors=no", str(installed(unit, tmp_path))
    )

    assert [
        line
        for line in verified.stderr.splitlines()
        if str(tmp_path) in line or line.startswith("bridge")
    ] == []


@pytest.mark.parametrize(
    "unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name
)
def test_unit_exposes_little_of_the_machine(unit: Path, tmp_path: Path) -> None:
    judged = analyze("security", "--offline=true", "--threshold=20", str(installed(unit, tmp_path)))

    assert judged.returncode == 0, judged.stdout + judged.stderr


# The proxies


@contextmanager
def backend(status: int = 200) -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """Answers everything; (its port, the path and the X-Forwarded-Proto of each request)."""
    asked: list[tuple[str, str | None]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.path, self.headers["X-Forwarded-Proto"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  # the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def nginx(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    """The shipped file inside a small nginx of our own, without its certificate."""
    ours = (
        text("nginx.conf")
        .replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        .replace("127.0.0.1:8001", f"127.0.0.1:{upstream}")
        .replace("/var/log/nginx", str(folder))
    )
    ours = re.sub(r"listen (\[::\]:)?\d+( ssl http2)?;", "", re.sub(r"\n +ssl_.*", "", ours))
    plain, secure = ours.rsplit("server {", 1)
    server = f"{plain}server {{ listen 127.0.0.1:{port};{secure}".replace(
        "server {\n", f"server {{ listen 127.0.0.1:{free_port()};\n", 1
    )
    (folder / "bridge.conf").write_text(server)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; events {{}} http {{ {temporary} include {folder}/bridge.conf; }}"
    )
    options = [
        "-p",
        str(folder),
        "-e",
        str(folder / "nginx.log"),
        "-c",
        str(folder / "nginx.conf"),
        "-g",
        "daemon off; master_process off;",
    ]
    return ["nginx", *options], {}


def caddy(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    """The shipped file, told by the environment where it stands, without the port of its own
    administration."""
    (folder / "Caddyfile").write_text(text("Caddyfile").replace("\n{\n", "\n{\n\tadmin off\n", 1))
    told = {
        "SITE": f"http://127.0.0.1:{port}",
        "UPSTREAM": f"127.0.0.1:{upstream}",
        "OPERATIONS": f"127.0.0.1:{upstream}",
        "HOME": str(folder),
    }
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], told


@contextmanager
def running(proxy: Any, folder: Path, upstream: int) -> Iterator[int]:
    """The port where the proxy answers, before whatever stands at `upstream`; what it writes lies
    in `folder`."""
    port = free_port()
    command, told = proxy(folder, port, upstream)
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    path = {"PATH": "/usr/sbin:/usr/bin:/usr/local/bin"}
    with (
        (folder / "output.log").open("w") as output,
        subprocess.Popen(command, env=path | told, stdout=output, stderr=output) as process,
    ):
        try:
            wait_until(lambda: ask(port, "GET", "/healthz"), 20, f"{command[0]} to answer")
            yield port
        finally:
            process.terminate()


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> int | None:
    """The status; None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"X-Bridge-Token": TOKEN, **(headers or {})})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def raw_answer(port: int, request: bytes) -> bytes:
    """All that a server says to these very bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


PROXIES = pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])


@PROXIES
def test_proxy_lets_in_webhooks_and_the_console_of_its_list_and_nothing_else(
    proxy: Any, tmp_path: Path
) -> None:
    with backend() as (upstream, asked), running(proxy, tmp_path, upstream) as port:
        asked.clear()
        passed = [
            ask(port, "POST", path, b"{}")
            for path in ("/webhooks/shipstation", f"/webhooks/shipstation/{TOKEN}")
        ]
        console = ask(port, "GET", "/console/")
        refused = [
            ask(port, "GET", path)
            for path in (
                "/metrics",
                "/readyz",
                "/",
                "/webhooks",
                "/console/../metrics",
                "/webhooks/../metrics",
            )
        ]

    assert (passed, console) == ([200, 200], 200)
    assert asked == [
        ("/webhooks/shipstation", "http"),
        (f"/webhooks/shipstation/{TOKEN}", "http"),
        ("/console/", "http"),
    ]
    assert not {200} & set(refused)


@PROXIES
def test_proxy_keeps_strangers_from_the_console(proxy: Any, tmp_path: Path) -> None:
    def elsewhere(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
        command, told = proxy(folder, port, upstream)
        for path in folder.glob("bridge.conf"):
            path.write_text(path.read_text().replace("allow 127.0.0.1;", "allow 192.0.2.7;"))
        return command, told | {"CONSOLE_FROM": "192.0.2.7"}

    with backend() as (upstream, asked), running(elsewhere, tmp_path, upstream) as port:
        asked.clear()

        assert {
            ask(port, "GET", "/console/"),
            ask(port, "GET", "/console"),
            ask(port, "POST", "/console/sign-in"),
        } <= {403, 404}
        assert asked == []


@PROXIES
def test_proxy_takes_as_much_as_the_receiver_and_no_more(proxy: Any, tmp_path: Path) -> None:
    most = Settings.model_fields["max_body_bytes"].default
    with backend() as (upstream, _), running(proxy, tmp_path, upstream) as port:
        assert ask(port, "POST", "/webhooks/shipstation", b"x" * most) == 200
        assert ask(port, "POST", "/webhooks/shipstation", b"x" * (most + 1)) in (
            413,
            502,
        )  # Caddy 2.6 says it so.


@PROXIES
def test_token_stands_in_no_log_of_the_proxy_even_when_the_receiver_is_gone(
    proxy: Any, tmp_path: Path
) -> None:
    path = f"/webhooks/shipstation/{TOKEN}"
    with running(proxy, tmp_path, free_port()) as port:
        answers = [
            ask(port, "POST", way, b"{}")
            for way in (
                path,
                f"/{path}",
                "/webhooks/shipstation",
                f"{path}?x=1",
                f"/webhooks/shipstation//{TOKEN}",
            )
        ]
        answers.append(ask(port, "POST", path, b"x" * 2_000_000))

    assert set(answers) <= {301, 404, 413, 502, 503, 504}
    assert 502 in answers
    assert [
        file.name
        for file in tmp_path.rglob("*")
        if file.is_file() and TOKEN in file.read_text(errors="replace")
    ] == []


GATEWAY_HEADERS = [
    {name: "/webhooks/shipstation"}
    for name in (
        "SCRIPT_NAME",
        "script_name",
        "Script_Name",
        "PATH_INFO",
        "path_info",
        "X_SCRIPT_NAME",
    )
]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real receiver, whose pages all answer there."""
    folder = tmp_path_factory.mktemp("receiver")
    url = f"sqlite:///{folder / 'bridge.db'}"
    with Simulator() as simulator, Stack(simulator, url, folder) as stack:
        stack.settings = {"BRIDGE_CONSOLE_PASSWORD": "a console password"}
        stack.start_receiver(workers=1)
        yield stack.port


@PROXIES
@pytest.mark.parametrize("headers", GATEWAY_HEADERS, ids=lambda headers: next(iter(headers)))
def test_no_header_moves_a_path_past_the_proxy(
    proxy: Any, headers: dict[str, str], receiver: int, tmp_path: Path
) -> None:
    """gunicorn believes such headers of a peer that it trusts, and the proxy is one."""
    hidden = ("readyz", "metrics", "console/sign-in")
    with running(proxy, tmp_path, receiver) as port:
        answers = {
            ask(port, method, f"/webhooks/shipstation/{page}", headers=headers)
            for page in hidden
            for method in ("GET", "POST")
        }

    assert answers <= {400, 401, 404, 405}


def test_port_80_of_nginx_repeats_nothing_of_the_request(tmp_path: Path) -> None:
    """A decoded line break in a redirect's address would begin a header of the sender's own."""
    with backend() as (upstream, _), running(nginx, tmp_path, upstream):
        plain = re.findall(r"listen 127\.0\.0\.1:(\d+);", (tmp_path / "bridge.conf").read_text())[0]
        line = b"GET /x%0d%0aSet-Cookie:%20bridge_console=evil HTTP/1.1"
        answer = raw_answer(int(plain), line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404")
    assert b"evil" not in answer


@PROXIES
def test_browser_is_told_to_come_by_https(proxy: Any, tmp_path: Path) -> None:
    with backend() as (upstream, _), running(proxy, tmp_path, upstream) as port:
        answer = raw_answer(
            port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )

    assert b"strict-transport-security: max-age=31536000" in answer.lower()


# What each recipe keeps apart


@pytest.mark.parametrize(
    "name", ["compose.yaml", "fly.toml", "render.yaml", "kubernetes/receiver.yaml"]
)
def test_recipe_keeps_the_console_and_the_figures_on_an_address_of_their_own(name: str) -> None:
    found = re.findall(r"BRIDGE_OPERATIONS_BIND\W+(?:value\W+)?([\w.:\[\]]+)", text(name))

    assert found
    assert {bind.rpartition(":")[2] for bind in found} == {"8001"}


def test_socket_of_systemd_listens_where_the_receiver_would() -> None:
    bind = Settings.model_fields["bind"].default

    for unit in ("bridge", "bridge-receiver"):
        assert f"ListenStream={bind}" in text(f"systemd/{unit}.socket")
        service = text(f"systemd/{unit}.service")
        assert f"Requires={unit}.socket" in service
        assert "Type=notify" in service


def test_no_unit_leaves_a_core_dump() -> None:
    services = [unit for unit in UNITS if unit.suffix == ".service"]

    assert [unit.name for unit in services if "LimitCORE=0" not in unit.read_text()] == []
