"""Clients that mean harm: each is refused in words, and the server goes on, in bounded memory."""

import json
import re
import resource
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")

from serving import SIDE, TOKEN, Serving, levels_of, picture, read, serving, trimap

from a2u_cli.images import encode_image
from a2u_cli.serve import turns
from a2u_cli.serve.spool import Spooled

GB = 10**9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "a.png").write_bytes(picture())
    (folder / "a_trimap.png").write_bytes(trimap())
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Serving]:
    with serving(folder) as server:
        yield server


@pytest.fixture
def server(served: Serving) -> Iterator[Serving]:
    """A server that is alive before and after each test, with nothing under way."""
    spooled = served.shop.spool.held
    yield served
    served.matter.gate.set()
    assert served.ask("GET", "/health").json == {"status": "ok"}
    assert served.ask("GET", "/api/jobs/p1/alpha").status == 200
    for name in [job.name for job in served.shop.bench.all if not job.kept]:
        served.ask("DELETE", f"/api/jobs/{name}")
    wait_for(lambda: served.shop.spool.held <= spooled)


def wait_for(holds: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


PATHS = ("/", "/health", "/openapi.json", "/static/index.html", "/api/jobs", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{port}", "localhost:1", "", None]
)
def test_a_wrong_host_is_refused_before_all_else(
    server: Serving, path: str, host: str | None
) -> None:
    lines = [] if host is None else [f"Host: {host.format(port=server.port)}"]
    version = "1.0" if host is None else "1.1"  # only that may be without
    answer = read(server.send(f"GET {path} HTTP/{version}", *lines))
    assert answer.status == 421
    assert "expected one of" in answer.error and f"localhost:{server.port}" in answer.error


def test_two_hosts_are_refused(server: Serving) -> None:
    head = server.head("GET", "/health", host=f"localhost:{server.port}")
    assert read(server.send(*head)).status in (400, 421)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_the_machine_s_own_names_are_hosts(server: Serving, name: str) -> None:
    assert read(server.send("GET /health HTTP/1.1", f"Host: {name}:{server.port}")).status == 200


def test_every_address_is_listened_on_for_those_who_know_a_name(folder: Path) -> None:
    with serving(folder, host="0.0.0.0", names=("Studio.local", "fe80::1")) as server:
        known = ("studio.local", "localhost", "[fe80::1]")
        for name, status in [*((name, 200) for name in known), ("0.0.0.0.evil.example", 421)]:
            asked = server.send("GET /health HTTP/1.1", f"Host: {name}:{server.port}")
            assert read(asked).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_what_comes_from_elsewhere_is_refused_even_with_the_token(
    server: Serving, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/api/jobs"), ("PUT", "/api/jobs/x/image")):
        answer = server.ask(method, path, picture() if method == "PUT" else None, headers)
        assert answer.status == 403 and "own page" in answer.error


def test_a_link_elsewhere_may_open_the_page_but_no_page_embeds_it(server: Serving) -> None:
    opening = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.ask("GET", "/", headers=opening, token=None).status == 200
    embedding = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert server.ask("GET", "/static/index.html", headers=embedding).status == 403


def test_the_page_s_own_requests_are_let_in(server: Serving) -> None:
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("GET", "/api/jobs", headers=own).status == 200


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "caf\xe9"])
def test_without_its_token_nothing_of_the_api_is_told(server: Serving, token: str | None) -> None:
    for method, path in (("GET", "/api/jobs"), ("PUT", "/api/jobs/x/image"), ("GET", "/api/")):
        answer = server.ask(method, path, token=token)
        assert answer.status == 401 and "#token=" in answer.error and TOKEN not in answer.error


def test_a_bearer_s_token_is_taken_too(server: Serving) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert server.ask("GET", "/api/jobs", headers=bearer, token=None).status == 200


def test_no_answer_lets_another_site_in(server: Serving) -> None:
    asked = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-a2u-token",
    }
    answers = [server.ask("OPTIONS", "/api/jobs/x/image", headers=asked, token=None)]
    answers += [server.ask("GET", path) for path in PATHS]
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in answer.headers
    assert answers[0].status == 403


SPELLINGS = (
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e%2fapp.py",
    "/static/..%5capp.py",
    "/static/....//app.py",
    "/static/%252e%252e/app.py",
    "/static//etc/passwd",
    "/static/..%00/app.py",
    "//etc/passwd",
    "/../../../../etc/passwd",
    "/api/jobs/..%2f..%2fetc%2fpasswd",
    "/api/jobs/%2e%2e/preview",
    "/api/jobs/a.png/preview",
)


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_a_path_leads_out(server: Serving, path: str) -> None:
    answer = read(server.send(*server.head("GET", path)))
    assert answer.status in (400, 404) and answer.error
    assert b"root:" not in answer.body and b"import" not in answer.body


def test_ten_gigabytes_are_refused_when_they_are_announced(server: Serving) -> None:
    head = server.head("PUT", "/api/jobs/big/image", content_length=str(10 * GB))
    answer = read(server.send(*head, "Expect: 100-continue"))
    assert answer.status == 413 and "10000.0 MB" in answer.error
    assert answer.headers["Connection"] == "close"


def test_what_is_not_announced_is_refused_when_it_grows_too_large(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.shop.uploads, "most", 100_000)
    start = picture() + bytes(90_000)
    head = server.head("PUT", "/api/jobs/big/image", transfer_encoding="chunked")
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(start), start) for _ in range(2))
    answer = read(server.send(*head, body=pieces))
    assert answer.status == 413 and "at most 0.1 MB" in answer.error


def test_a_slow_sender_is_not_waited_for(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.shop.uploads, "patience", 0.2)
    data = picture()
    head = server.head("PUT", "/api/jobs/slow/image", content_length=str(len(data)))
    begin = time.monotonic()
    answer = read(server.send(*head, body=data[:20]))
    assert answer.status == 408 and "20 bytes" in answer.error
    assert time.monotonic() - begin < 3


def test_a_head_that_never_ends_is_not_waited_for(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a2u_cli.serve.running.PATIENCE", 0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as opened:
        opened.sendall(b"GET /health HTTP/1.1\r\nX: y")
        assert opened.recv(1000) == b""  # closed


def bomb(side: int, depth: int = 8) -> bytes:
    """A PNG whose head tells of far more pixels than its few bytes hold."""
    header = struct.pack(">IIBBBBB", side, side, depth, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk))
    body = zlib.compress(bytes(10**6), 9)
    idat = b"IDAT" + body
    return data + struct.pack(">I", len(body)) + idat + struct.pack(">I", zlib.crc32(idat))


def test_a_bomb_is_refused_by_its_head_before_the_rest_has_come(server: Serving) -> None:
    before = resident()
    small = encode_image(np.zeros((8, 8, 3), np.uint8), "jpeg")
    frame = small.index(b"\xff\xc0") + 5  # ITU T.81, B.2.2: height and width
    jpeg = small[:frame] + struct.pack(">HH", 60_000, 60_000) + small[frame + 4 :]
    head = server.head("PUT", "/api/jobs/bomb/image", content_length=str(10**8))
    for data in (bomb(60_000), jpeg):
        answer = read(server.send(*head, body=data + bytes(70_000 - len(data))))
        assert answer.status == 413 and "60000x60000" in answer.error
        assert server.ask("PUT", "/api/jobs/bomb/image", data).status == 413
    damaged = server.ask("PUT", "/api/jobs/bomb/image", bomb(2000))
    assert damaged.status == 422 and "damaged" in damaged.error
    assert resident() - before < 100e6


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<svg/>",
        b"http://169.254.169.254/latest/meta-data/",
        b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\n" + picture(),
        b"#!/bin/sh\n" + bytes(100),
    ],
)
def test_what_is_no_picture_is_refused(server: Serving, body: bytes) -> None:
    answer = server.ask("PUT", "/api/jobs/none/image", body)
    assert answer.status == 415 and "curl -T" in answer.error


def test_a_thousand_requests_queue_no_longer_than_the_queue_is(server: Serving) -> None:
    server.put_job("busy", 8)
    server.matter.gate.clear()
    server.matter.began.clear()
    head = server.head("GET", "/api/jobs/busy/alpha")
    first = server.send(*head)
    assert server.matter.began.wait(5)
    waiting = [server.send(*head) for _ in range(turns.MOST)]
    wait_for(lambda: server.shop.matting.length == turns.MOST)
    before = resident()
    refused = [read(server.send(*head)) for _ in range(1000 - turns.MOST - 1)]
    assert {answer.status for answer in refused} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert "ask again later" in refused[0].error
    assert server.ask("GET", "/api/jobs/busy").json["work"]["place"] == turns.MOST
    assert resident() - before < 20e6
    server.matter.gate.set()
    assert {read(opened).status for opened in (first, *waiting)} == {200}


def test_a_connection_that_closes_midway_leaves_nothing(server: Serving) -> None:
    data = picture()
    head = server.head("PUT", "/api/jobs/gone/image", content_length=str(len(data)))
    before = {*server.shop.spool.path.iterdir()}
    server.send(*head, body=data[: len(data) // 2]).close()
    wait_for(lambda: server.shop.uploads.under_way == 0)
    wait_for(lambda: {*server.shop.spool.path.iterdir()} == before)
    assert server.ask("GET", "/api/jobs/gone").status == 404


def test_work_whose_client_leaves_is_ended(server: Serving) -> None:
    server.put_job("left", 7)
    server.matter.gate.clear()
    server.matter.began.clear()
    opened = server.send(*server.head("GET", "/api/jobs/left/alpha"))
    assert server.matter.began.wait(5)
    opened.close()
    wait_for(lambda: server.shop.work("left")["state"] == "cancelled")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "part"),
    [
        ("GET", "/api/jobs/none", None, 404, "PUT its image"),
        ("GET", f"/api/jobs/{'x' * 65}", None, 404, "up to 64"),
        ("PUT", "/api/jobs/p1/image", picture(), 409, "choose another name"),
        ("DELETE", "/api/jobs/p1", None, 409, "not deleted"),
        ("GET", "/api/jobs/p1/alpha?quality=great", None, 422, "expected auto, fast"),
        ("GET", "/api/jobs/p1/alpha?depth=12", None, 422, "expected"),
        ("GET", "/api/jobs/p1/alpha?format=bmp", None, 422, "expected one of"),
        ("GET", "/api/jobs/p1/alpha?size=9", None, 422, "size would do nothing"),
        ("GET", "/api/jobs/p1/alpha?background=red", None, 422, "would do nothing"),
        ("GET", "/api/jobs/p1/alpha?choke=nan", None, 422, "a number of pixels"),
        ("GET", "/api/jobs/p1/alpha?levels=9", None, 422, "BLACK,WHITE"),
        ("GET", "/api/jobs/p1/cutout?format=jpg", None, 422, "transparency"),
        ("GET", "/api/jobs/p1/composite?background=/etc/passwd", None, 422, "no colour"),
        ("GET", "/api/jobs/p1/composite?background=http://a/b.png", None, 422, "no colour"),
        ("GET", "/api/jobs/p1/preview?side=-1", None, 422, "from 1 on"),
        ("PUT", "/api/jobs/p1/trimap", trimap(8), 422, "8x8"),
        ("PUT", "/api/jobs/p1/trimap", trimap(edge=SIDE), 422, "no unknown"),
        ("PUT", "/api/jobs/p1/mask?band=wide", trimap(), 422, "band 'wide'"),
        ("POST", "/api/jobs/p1/box", b"{]", 400, "JSON"),
        ("POST", "/api/jobs/p1/box", b'{"x": 1}', 422, "whole numbers"),
        ("POST", "/api/jobs/p1/save", b'{"kinds": ["/etc"]}', 422, "expected some of"),
        ("POST", "/api/jobs/p1/save", b"[" * 60_000, 400, "JSON"),
        ("POST", "/api/jobs/p1/save", b" " * 70_000, 413, "at most"),
        ("PUT", "/api/jobs/p1/project", b'{"a2u": "page"}', 422, "no project"),
        ("PUT", "/api/jobs/p1/project", b"\xff", 400, "no JSON"),
        ("PATCH", "/api/jobs/p1", None, 405, "openapi.json"),
        ("GET", "/api/nothing", None, 404, "openapi.json"),
    ],
)
def test_misuse_is_answered_in_words(
    server: Serving, method: str, path: str, body: bytes | None, status: int, part: str
) -> None:
    answer = server.ask(method, path, body)
    assert (answer.status, part in answer.error) == (status, True), answer.body


def test_a_refusal_names_no_file_of_the_server_s_own(server: Serving) -> None:
    damaged = server.ask("PUT", "/api/jobs/hurt/image", picture()[:-40])
    assert damaged.status == 422 and "a2u-serve-" not in damaged.error
    assert re.match("hurt is truncated or damaged", damaged.error)
    behind = server.ask("PUT", "/api/jobs/p1/background", picture()[:-40])
    assert behind.status == 422 and "the background is truncated or damaged" in behind.error
    assert "a2u-serve-" not in behind.error


def test_a_full_disk_is_said(
    server: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full, spool = tmp_path / "full", server.shop.spool
    full.symlink_to("/dev/full")
    with monkeypatch.context() as patch:
        patch.setitem(spool._sizes, full, 0)
        patch.setattr(spool, "begin", lambda: Spooled(full, spool))
        answer = server.ask("PUT", "/api/jobs/full/image", picture())
    assert answer.status == 507 and "make room" in answer.error
    wait_for(lambda: not full.is_symlink())


def test_two_hundred_requests_of_eight_clients_end_right_in_order_and_in_flat_memory(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in range(8):
        server.put_job(f"load{client}", 10 + client)
    arrived: list[int] = []
    take = server.shop.matting.take

    def note(owner: str, *more: object, **options: object) -> object:
        arrived.append(10 + int(owner.removeprefix("load")))
        return take(owner, *more, **options)

    monkeypatch.setattr(server.shop.matting, "take", note)
    monkeypatch.setattr(server.shop.desk.shelf, "most", 20_000)  # so that the matter is asked
    server.matter.order.clear()
    wrong: list[object] = []
    memory: list[int] = []

    def client(number: int) -> None:
        for turn in range(25):
            edge = 1 + (number + turn) % 12
            path = f"/api/jobs/load{number}"
            put = server.ask("PUT", f"{path}/trimap", trimap(edge=edge))
            got = server.ask("GET", f"{path}/alpha")
            expected = json.loads(put.body)["shares"]["unknown"]
            alpha = levels_of(got.body)
            if got.status != 200 or (alpha == 128).mean() != expected:
                wrong.append(got)
            memory.append(resident())

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not wrong and len(arrived) == 200
    assert [round(255 * shade) for shade in server.matter.order] == arrived
    assert memory[-1] - memory[50] < 10e6
