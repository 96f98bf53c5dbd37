"""Downloads from, and publishing to, a Hub on 127.0.0.1 that speaks the real one's protocol.

The Hub's library reads its environment when imported, so each case is a process of its own.
"""

import base64
import contextlib
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from a2u_cli import weights
from a2u_cli.errors import WeightsError
from a2u_cli.network.model import MattingNetwork
from a2u_cli.weights.cache import sha256_of

LARGE = (".safetensors", ".onnx")  # what the Hub wants by itself, not within a commit
COMMIT = "0123456789abcdef0123456789abcdef01234567"
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HIDE_SHIPPED = "from a2u_cli.weights import registry; registry.SHIPPED_FOLDERS = ()"
PIN = """
from dataclasses import replace
registry.REGISTRY["a2u-open"] = replace(registry.REGISTRY["a2u-open"], sha256={!r})
"""


@dataclass
class Hub:
    """What the server holds, what it was asked, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)  # "owner/repo/file", "spaces/owner/..."
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    cuts: int = 0  # how many downloads still break off at three quarters
    of_part: str = ""  # how it answers who goes on: 416, or a part from elsewhere
    etag: str | None = None  # in place of the true sha256
    drips: str = ""  # what comes a byte every `pause` seconds: HEAD, GET (their heads), or body
    pause: float = 0.02
    status: int = 200  # of downloads
    refuses: int = 0  # with which status it answers whoever writes
    token: str = ""  # that whoever writes must have, where one is set
    created: list[dict[str, Any]] = field(default_factory=list)  # as it was asked to
    commits: list[dict[str, Any]] = field(default_factory=list)  # their heads
    address: str = ""

    def asked(self, method: str) -> list[dict[str, str]]:
        return [headers for kind, _, headers in self.requests if kind == method]


class Handler(BaseHTTPRequestHandler):
    """The part of the Hub's API that downloading and pushing a model need."""

    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def flush_headers(self) -> None:
        if self.hub.drips == self.command:
            self.drip(b"".join(self._headers_buffer))  # type: ignore[attr-defined]
        super().flush_headers()

    def drip(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the other side has had enough
            for number in range(len(data)):
                self.wfile.write(data[number : number + 1])
                time.sleep(self.hub.pause)

    def note(self) -> bytes:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, self.path, headers))
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def do_HEAD(self) -> None:
        self.resolve()

    def do_GET(self) -> None:
        self.resolve()

    def resolve(self) -> None:
        if self.path.startswith(("/api/models/", "/api/spaces/")):
            self.describe(repository_of(self.path))
            return
        if "/resolve/" not in self.path:  # the library's own curiosity
            self.answer(404)
            return
        self.note()
        repository, file = self.path.strip("/").split("/resolve/")
        data = self.hub.files.get(f"{repository}/{file.partition('/')[2]}")
        if data is None:
            known = any(key.startswith(f"{repository}/") for key in self.hub.files)
            code = "EntryNotFound" if known else "RepoNotFound"
            self.answer(404, X_Error_Code=code, X_Repo_Commit=COMMIT)
            return
        start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        if start and self.hub.of_part == "416":
            self.answer(416)
            return
        if start and self.hub.of_part == "elsewhere":
            start += 1
        etag = self.hub.etag or hashlib.sha256(data).hexdigest()
        self.send_response(206 if start else self.hub.status if self.command == "GET" else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Linked-Etag", f'"{etag}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            if self.hub.drips == "body":
                self.drip(data[start:])
                return
            cut, self.hub.cuts = self.hub.cuts > 0, self.hub.cuts - 1
            self.wfile.write(data[start : len(data) * 3 // 4 if cut else None])

    def describe(self, repository: str) -> None:
        """Tell what a repository holds."""
        self.note()
        files = [key for key in self.hub.files if key.startswith(f"{repository}/")]
        if not files:
            self.answer(404, X_Error_Code="RepoNotFound")
            return
        siblings = [{"rfilename": key.removeprefix(f"{repository}/")} for key in files]
        told = {"id": repository, "sha": COMMIT, "siblings": siblings}
        self.answer(200, json.dumps(told).encode(), Content_Type="application/json")

    def do_PUT(self) -> None:
        data = self.note()
        self.hub.blobs[hashlib.sha256(data).hexdigest()] = data
        self.answer(200)

    def do_POST(self) -> None:
        body = self.note()
        said = str(self.headers.get("Authorization"))
        status = self.hub.refuses
        if self.hub.token and said != f"Bearer {self.hub.token}":
            status = 401
        reply = {"error": f"not with {said}"} if status else self.reply(body)
        status = status or (400 if reply.get("errors") else 200)
        self.answer(status, json.dumps(reply).encode(), Content_Type="application/json")

    def reply(self, body: bytes) -> dict[str, Any]:
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            self.hub.created.append(asked)
            return {"url": f"{self.hub.address}/{asked['organization']}/{asked['name']}"}
        if self.path == "/api/validate-yaml":
            errors = [{"message": text} for text in faults(json.loads(body)["content"])]
            return {"errors": errors, "warnings": []}
        if "/preupload/" in self.path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return {"files": files}
        if self.path.endswith("/info/lfs/objects/batch"):
            upload = {"upload": {"href": f"{self.hub.address}/lfs"}}
            objects = [{**wanted, "actions": upload} for wanted in json.loads(body)["objects"]]
            return {"transfer": "basic", "objects": objects}
        assert "/commit/" in self.path, self.path
        repository = repository_of(self.path)
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                self.hub.commits.append(value)
            if operation["key"] == "file":
                content = base64.b64decode(value["content"])
                self.hub.files[f"{repository}/{value['path']}"] = content
            elif operation["key"] == "lfsFile":
                self.hub.files[f"{repository}/{value['path']}"] = self.hub.blobs[value["oid"]]
        return {"commitUrl": f"{self.hub.address}/{repository}/commit/1", "commitOid": COMMIT}


def repository_of(path: str) -> str:
    """Name the repository of /api/models/owner/name/... as its files' names begin."""
    _, _, kind, owner, name, *_ = path.partition("?")[0].split("/")
    return "/".join((["spaces"] if kind == "spaces" else []) + [owner, name])


def faults(card: str) -> list[str]:
    """Name what the Hub refuses in a card's front matter; of its rules those that we know."""
    block = card.split("---\n")[1] if card.startswith("---\n") else ""
    facts = yaml.safe_load(block)
    if not isinstance(facts, dict):
        return ["empty or missing yaml metadata in repo card"]
    found = []
    if facts.get("license") not in (None, "apache-2.0", "cc0-1.0", "mit", "other"):
        found.append('"license" must be one of those that are known')
    if not re.fullmatch(r"[a-z0-9.-]+", facts.get("license_name", "none")):
        found.append('"license_name" must be of small letters')
    if facts.get("colorTo") not in (None, *COLOURS) or len(facts.get("emoji", "x")) > 2:
        found.append('"colorTo" or "emoji" must be one of those that are known')
    if "model-index" in facts and not all("results" in entry for entry in facts["model-index"]):
        found.append('"model-index[0].results" is required')
    return found


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": state}))
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(0)
    weights.save_weights(
        MattingNetwork(),
        path,
        licence="Apache-2.0",
        source="test",
        training={"steps": 7},
        dtype=torch.float16,
    )
    return path


@dataclass
class Machine:
    """A computer with its own caches that knows one Hub."""

    folder: Path
    endpoint: str

    @property
    def cache(self) -> Path:
        return self.folder / "a2u"

    def python(
        self, code: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "A2U_"))}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **inherited,
                "HF_ENDPOINT": self.endpoint,
                "HF_HOME": str(self.folder / "hf"),
                "HF_HUB_DISABLE_XET": "1",
                "A2U_CACHE": str(self.cache),
                "NO_PROXY": "127.0.0.1",
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )

    def get(
        self, name: str, *options: str, pin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        code = HIDE_SHIPPED + PIN.format(pin) + "from a2u_cli.cli import main; main()"
        return self.python(code, "weights", "get", name, *options, **environment)


@pytest.fixture
def machine(hub: Hub, tmp_path: Path) -> Machine:
    return Machine(tmp_path, hub.address)


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line on stderr with every part, nothing on stdout, exit code 3."""
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_the_default_is_downloaded_by_name(hub: Hub, machine: Machine, file: Path) -> None:
    hub.files["a2u-matting/a2u-open/model.safetensors"] = file.read_bytes()
    done = machine.get("a2u-open", pin=sha256_of(file), HF_TOKEN="hf_secret")
    place = machine.cache / "a2u-open.safetensors"
    assert (done.returncode, done.stdout) == (0, f"{place}\n"), done.stderr
    assert place.read_bytes() == file.read_bytes()
    assert {h.get("authorization") for h in hub.asked("GET")} == {"Bearer hf_secret"}
    asked = len(hub.requests)
    assert machine.get("a2u-open").stdout == f"{place}\n"
    assert len(hub.requests) == asked, "what is here is not downloaded again"


def test_an_address_with_revision_and_file_is_downloaded(
    hub: Hub, machine: Machine, file: Path
) -> None:
    hub.files["me/mats/sub/hair.safetensors"] = file.read_bytes()
    done = machine.get("hf://me/mats@v1.0/sub/hair.safetensors")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == file.read_bytes()
    assert {path for _, path, _ in hub.requests} == {"/me/mats/resolve/v1.0/sub/hair.safetensors"}


def test_an_interrupted_download_is_resumed(hub: Hub, machine: Machine, file: Path) -> None:
    hub.files["me/mats/model.safetensors"] = file.read_bytes()
    hub.cuts = 1
    done = machine.get("hf://me/mats")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == file.read_bytes()
    first, second = (headers.get("range", "bytes=0-") for headers in hub.asked("GET"))
    assert first == "bytes=0-" != second, "the second transfer goes on where the first broke off"


def test_a_wrong_checksum_is_refused(hub: Hub, machine: Machine, file: Path) -> None:
    hub.files["a2u-matting/a2u-open/model.safetensors"] = file.read_bytes()
    assert_refused(machine.get("a2u-open", pin="0" * 64), "expected 0000", "not the known a2u-open")
    assert not list(machine.cache.glob("*"))


def test_a_transfer_that_changed_the_bytes_is_refused(
    hub: Hub, machine: Machine, file: Path
) -> None:
    hub.files["a2u-matting/a2u-open/model.safetensors"] = file.read_bytes()
    hub.etag = "1" * 64
    assert_refused(machine.get("a2u-open"), "differs from what the Hub promised", "--force")
    assert not list(machine.cache.glob("*"))
    hub.etag = None
    assert machine.get("a2u-open", "--force").returncode == 0


def test_a_file_that_is_no_weights_is_refused(hub: Hub, machine: Machine) -> None:
    hub.files["me/mats/model.safetensors"] = b"version https://git-lfs.github.com/spec/v1"
    assert_refused(machine.get("hf://me/mats"), "is damaged or no .safetensors file")


def test_without_a_server_the_way_by_hand_is_told(machine: Machine, tmp_path: Path) -> None:
    machine.endpoint = "http://127.0.0.1:9"
    address = "http://127.0.0.1:9/a2u-matting/a2u-open/resolve/main/model.safetensors"
    command = "a2u weights import FILE --name a2u-open"
    assert_refused(machine.get("a2u-open"), "refused", address, command, str(machine.cache))


def test_an_unknown_repository_is_refused(machine: Machine) -> None:
    assert_refused(machine.get("hf://me/nothing"), "404", "/me/nothing/resolve/main/model")


def test_offline_mode_uses_only_what_is_here(hub: Hub, machine: Machine, file: Path) -> None:
    hub.files["me/mats/model.safetensors"] = file.read_bytes()
    refused = machine.get("hf://me/mats", HF_HUB_OFFLINE="1")
    assert_refused(refused, "offline mode is enabled", "a2u weights import FILE --name mats")
    assert not hub.requests
    locate = "from a2u_cli.weights import registry; print(registry.locate('hf://me/mats'))"
    online = machine.python(locate)
    asked = len(hub.requests)
    assert machine.python(locate, HF_HUB_OFFLINE="1").stdout == online.stdout != ""
    assert len(hub.requests) == asked


def test_publishing_and_pulling_gives_the_same_network(
    hub: Hub, machine: Machine, file: Path
) -> None:
    code = """
import sys, torch
from a2u_cli.weights import load_model
assert "huggingface_hub" not in sys.modules, "it is slow to import"
from a2u_cli.weights import HubMattingNetwork
mine = HubMattingNetwork.from_file(sys.argv[1])
mine.push_to_hub("me/mats", token="hf_secret")
theirs = HubMattingNetwork.from_pretrained("me/mats")
named = load_model("hf://me/mats").state_dict()
assert theirs.header == mine.header and not theirs.training
for name, tensor in mine.state_dict().items():
    assert torch.equal(tensor, theirs.state_dict()[name]), name
    assert torch.equal(tensor, named[name]), name
"""
    done = machine.python(code, str(file))
    assert done.returncode == 0, done.stderr
    files = {name.rsplit("/", 1)[1]: data for name, data in hub.files.items()}
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert json.loads(files["config.json"]) == {"shared": True}
    assert b"license: apache-2.0" in files["README.md"]
    assert files["model.safetensors"] == file.read_bytes()


def test_a_saved_folder_is_read_strictly(tmp_path: Path) -> None:
    network = weights.HubMattingNetwork(shared=False)
    network.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"shared": False}
    assert not weights.HubMattingNetwork.from_pretrained(tmp_path).shared
    (tmp_path / "config.json").write_text('{"shared": true}')
    with pytest.raises(WeightsError, match=r"unshare variant, config\.json not"):
        weights.HubMattingNetwork.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="is damaged"):
        weights.HubMattingNetwork.from_pretrained(tmp_path)


def test_a_network_of_the_hub_is_pickled_by_its_name() -> None:
    network = weights.HubMattingNetwork()
    again = pickle.loads(pickle.dumps(network))
    assert type(again) is type(network) is weights.HubMattingNetwork
    assert torch.equal(again.stem.conv.weight, network.stem.conv.weight)
    assert f"{type(again).__module__}.{type(again).__qualname__}" == (
        "a2u_cli.weights.hub.HubMattingNetwork"
    )


def test_the_command_line_tells_the_hub_nothing_of_this_machines_packages(
    hub: Hub, machine: Machine, file: Path
) -> None:
    """Where the library is called, that is left to the program that calls it."""

    def agents() -> set[str]:
        told = {headers["user-agent"] for _, _, headers in hub.requests}
        hub.requests.clear()
        return told

    hub.files["me/mats/model.safetensors"] = file.read_bytes()
    unasked = {"DO_NOT_TRACK": "", "DISABLE_TELEMETRY": ""}
    locate = "from a2u_cli.weights import registry; registry.locate('hf://me/mats')"
    machine.python(locate, **unasked)
    assert any("torch/" in agent for agent in agents()), "what the Hub's library tells by itself"
    assert machine.get("hf://me/mats", "--force", **unasked).returncode == 0
    quiet = agents()
    assert quiet
    assert not any("torch/" in agent for agent in quiet)
