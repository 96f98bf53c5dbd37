"""What `a2u serve` does for its page and for scripts, asked over HTTP as they do."""

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

pytest.importorskip("starlette")

from conftest import ROOT, Run, RunA2U
from serving import (
    TOKEN,
    Answer,
    FakeMatter,
    Serving,
    levels_of,
    picture,
    png,
    read,
    serving,
    trimap,
)
from test_cli import assert_refused
from uvicorn.server import HANDLED_SIGNALS

from a2u_cli.commands import stopping
from a2u_cli.images import encode_image, read_image, write_image
from a2u_cli.matting.matter import Matter
from a2u_cli.serve.app import make_app
from a2u_cli.serve.bench import HOUR, Bench, Job
from a2u_cli.serve.drafts import Drafts
from a2u_cli.serve.gallery import open_gallery
from a2u_cli.serve.refusals import Refused
from a2u_cli.serve.running import Server
from a2u_cli.serve.shelf import Shelf
from a2u_cli.serve.spool import Spool
from a2u_cli.serve.turns import Turns

SIZE = 32


@pytest.fixture
def folder(tmp_path: Path, environment: Path) -> Path:
    """A folder of three pictures: with a trimap, with a mask, with neither."""
    place = tmp_path / "photos"
    (place / "more").mkdir(parents=True)
    (place / "a.png").write_bytes(picture(1))
    (place / "a_trimap.png").write_bytes(trimap())
    (place / "b.png").write_bytes(picture(2))
    (place / "b_mask.png").write_bytes(png(np.tri(24, dtype=np.uint8) * 255))
    (place / "more" / "c.png").write_bytes(picture(3))
    return place


@pytest.fixture
def server(folder: Path) -> Iterator[Serving]:
    with serving(folder) as running:
        yield running


def rows(server: Serving) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in server.ask("GET", "/api/jobs").json["pictures"]}


def project(sha256: str, strokes: int = 1) -> dict[str, object]:
    """A project as the page writes it."""
    stroke = {"tool": "brush", "kind": "unknown", "size": 3, "soft": False, "points": [[1, 2, 1]]}
    return {
        "a2u": "project",
        "version": 1,
        "picture": {"name": "a", "width": 24, "height": 24, "sha256": sha256},
        "weights": {"name": "fake", "sha256": "0" * 64},
        "options": {},
        "start": {"kind": "unknown", "png": None},
        "strokes": [stroke] * strokes,
        "undone": [],
    }


def test_a_folder_s_pictures_are_jobs_from_the_start(server: Serving, folder: Path) -> None:
    answer = server.ask("GET", "/api/jobs").json
    assert [(row["job"], row["name"]) for row in answer["pictures"]] == [
        ("p1", "a"),
        ("p2", "b"),
        ("p3", "more/c"),
    ]
    assert [row["has_trimap"] for row in answer["pictures"]] == [True, True, False]
    assert {row["state"] for row in answer["pictures"]} == {"untouched"}
    assert answer["pictures"][0]["width"] is None  # not read for the list
    facts = answer["facts"]
    assert (facts["weights"], facts["weights_sha256"]) == ("fake", "0" * 64)
    assert facts["folder"] == str(folder) and facts["output"] == str(folder / "a2u_output")
    job = server.ask("GET", "/api/jobs/p1").json
    assert (job["width"], job["height"], job["depth"], job["light"]) == (24, 24, 8, False)
    assert job["work"] == {"state": "none"} and job["kept"]
    assert rows(server)["a"]["width"] == 24


def test_one_picture_is_a_job_and_has_what_lies_beside_it(folder: Path) -> None:
    for name, has in (("a.png", True), ("b.png", True), ("more/c.png", False)):
        with serving(folder / name) as server:
            [row] = server.ask("GET", "/api/jobs").json["pictures"]
            assert (row["job"], row["has_trimap"]) == ("p1", has)


def test_a_picture_that_a_link_leads_out_to_is_left_out(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture(9))
    (folder / "link.png").symlink_to(outside)
    gallery = open_gallery(folder, None)
    assert [job.title for job in gallery.jobs] == ["a", "b", "more/c"]
    assert (folder / "link.png", "its link leads out of the folder") in gallery.left_out
    with serving(folder) as server:
        (folder / "a.png").unlink()
        (folder / "a.png").symlink_to(outside)
        for path in ("", "/preview", "/alpha"):
            answer = server.ask("GET", f"/api/jobs/p1{path}")
            assert answer.status == 403 and "out of the folder" in answer.error


def test_a_script_s_job_goes_from_picture_to_matte(server: Serving) -> None:
    put = server.ask("PUT", "/api/jobs/mine/image", picture(50))
    assert put.status == 201 and put.json["width"] == 24 and not put.json["kept"]
    missing = server.ask("GET", "/api/jobs/mine/alpha")
    assert missing.status == 409 and "PUT its trimap" in missing.error
    told = server.ask("PUT", "/api/jobs/mine/trimap", trimap()).json
    assert told["shares"]["unknown"] == pytest.approx(1 / 3)
    assert server.ask("GET", "/api/jobs/mine").json["trimap_sha256"] == told["sha256"]
    drawn = server.ask("GET", "/api/jobs/mine/trimap")
    assert (levels_of(drawn.body) == levels_of(trimap())).all()
    alpha = server.ask("GET", "/api/jobs/mine/alpha")
    assert alpha.headers["Content-Type"] == "image/png"
    assert set(np.unique(levels_of(alpha.body))) == {0, 128, 255}
    work = server.ask("GET", "/api/jobs/mine").json["work"]
    assert (work["state"], work["kind"], work["done"]) == ("done", "alpha", 1.0)
    assert "mine" not in rows(server)
    assert server.ask("DELETE", "/api/jobs/mine").status == 204
    assert server.ask("GET", "/api/jobs/mine").status == 404


def test_a_mask_becomes_a_trimap_with_a_band(server: Serving) -> None:
    mask = png(np.repeat(np.array([[0] * 12 + [255] * 12], np.uint8), 24, 0))
    shares = {}
    for query in ("?band=2", "?band=2&inside=5", "?band=2&invert=1"):
        told = server.ask("PUT", f"/api/jobs/p3/mask{query}", mask)
        assert told.status == 200
        shares[query] = told.json["shares"]
    assert shares["?band=2"]["unknown"] == pytest.approx(4 / 24)
    assert shares["?band=2&inside=5"]["unknown"] == pytest.approx(7 / 24)
    assert shares["?band=2&invert=1"] == shares["?band=2"]
    assert rows(server)["more/c"]["state"] == "started"
    refused = server.ask("PUT", "/api/jobs/p3/mask?invert=yes", mask)
    assert refused.status == 422 and "expected 0 or 1" in refused.error


def test_every_kind_of_result_is_given_in_every_format(server: Serving) -> None:
    starts = {"png": b"\x89PNG", "tiff": b"II", "exr": b"v/1\x01", "webp": b"RIFF"}
    for kind in ("alpha", "cutout", "foreground", "composite"):
        for name, start in starts.items():
            answer = server.ask("GET", f"/api/jobs/p1/{kind}?format={name}")
            assert answer.status == 200 and answer.body.startswith(start)
    assert server.ask("GET", "/api/jobs/p1/alpha?format=jpg").body.startswith(b"\xff\xd8")
    red = server.ask("GET", "/api/jobs/p1/composite?background=%23ff0000")
    assert tuple(levels_of(red.body)[5, 1]) == (255, 0, 0)
    deep = server.ask("GET", "/api/jobs/p1/alpha?depth=16&levels=10%25,60%25")
    assert levels_of(deep.body).max() == 65535


def test_a_composite_is_laid_on_a_picture_that_was_sent(server: Serving, folder: Path) -> None:
    green = png(np.full((6, 9, 3), (0, 200, 0), np.uint8))
    early = server.ask("GET", "/api/jobs/p1/composite?background=own")
    assert early.status == 409 and "PUT it as background first" in early.error
    taken = server.ask("PUT", "/api/jobs/p1/background", green).json
    assert (taken["width"], taken["height"]) == (9, 6)
    laid = server.ask("GET", "/api/jobs/p1/composite?background=own")
    assert laid.status == 200 and tuple(levels_of(laid.body)[5, 1]) == (0, 200, 0)
    assert server.ask("GET", "/api/jobs/p2/composite?background=own").status == 409
    wish = {"kinds": ["composite"], "background": "own"}
    for _ in range(2):  # and again: it is the server's own file
        saved = server.ask("POST", "/api/jobs/p1/save", wish)
        assert saved.status == 200, saved.body
    path = folder / "a2u_output/composite/a.png"
    assert str(path) in saved.json["paths"] and path.read_bytes() == laid.body
    assert len(server.matter.order) == 1
    server.put_job("x", 60)
    assert server.ask("PUT", "/api/jobs/x/background", green).status == 200
    server.put_job("x", 61)  # begun anew
    assert server.ask("GET", "/api/jobs/x/composite?background=own").status == 409


def test_the_same_matte_is_not_made_twice(server: Serving) -> None:
    asked = ["alpha", "alpha?format=tiff", "cutout", "alpha?choke=1", "composite?background=blue"]
    for path in asked:
        assert server.ask("GET", f"/api/jobs/p1/{path}").status == 200
    assert len(server.matter.order) == 1
    assert server.ask("PUT", "/api/jobs/p1/trimap", trimap(edge=2)).status == 200
    server.ask("GET", "/api/jobs/p1/alpha")
    server.ask("PUT", "/api/jobs/p1/trimap", trimap())  # undone
    server.ask("GET", "/api/jobs/p1/alpha")
    assert len(server.matter.order) == 2
    server.ask("GET", "/api/jobs/p1/alpha?quality=best")
    assert len(server.matter.order) == 3


def test_deep_pictures_show_as_eight_bits(folder: Path) -> None:
    deep = np.full((40, 20, 3), 30000, np.uint16)
    (folder / "deep.png").write_bytes(encode_image(deep, "png", depth=16))
    light = np.full((8, 8, 3), 4.0, np.float32)
    (folder / "light.exr").write_bytes(encode_image(light, "exr", depth=32, light=True))
    with serving(folder) as server:
        jobs = {row["name"]: row["job"] for row in rows(server).values()}
        facts = server.ask("GET", f"/api/jobs/{jobs['deep']}").json
        assert (facts["depth"], facts["light"]) == (16, False)
        shown = levels_of(server.ask("GET", f"/api/jobs/{jobs['deep']}/preview?side=10").body)
        assert shown.shape == (10, 5, 3) and shown.dtype == np.uint8 and (shown == 117).all()
        assert server.ask("GET", f"/api/jobs/{jobs['light']}").json["light"]
        assert (
            levels_of(server.ask("GET", f"/api/jobs/{jobs['light']}/preview").body) == 255
        ).all()


def test_light_beyond_white_is_shown_and_kept(folder: Path) -> None:
    light = np.full((24, 24, 3), 4.0, np.float32)
    (folder / "a.png").unlink()
    (folder / "a.exr").write_bytes(encode_image(light, "exr", depth=32, light=True))
    with serving(folder) as server:
        kept = server.ask("GET", "/api/jobs/p1/foreground?format=exr&depth=32").body
        assert read_image(kept).colours(light=True)[12, 20] == pytest.approx(4)


def test_a_trimap_that_does_not_fit_is_said_and_the_picture_shown(folder: Path) -> None:
    (folder / "a_trimap.png").write_bytes(trimap(20))
    with serving(folder) as server:
        facts = server.ask("GET", "/api/jobs/p1").json
        assert facts["trimap_sha256"] is None and "a_trimap.png is 20x20" in facts["trimap_error"]
        assert "20x20" in server.ask("GET", "/api/jobs/p1/trimap").error
        assert server.ask("PUT", "/api/jobs/p1/trimap", trimap()).status == 200
        assert server.ask("GET", "/api/jobs/p1").json["trimap_error"] == ""


def test_a_later_draft_overtakes_one_that_waits(server: Serving) -> None:
    server.put_job("x", 60)
    server.matter.gate.clear()
    blocking = server.send(*server.head("GET", "/api/jobs/x/alpha"))
    assert server.matter.began.wait(5)
    drafts = []
    for number in (1, 2):
        path = f"/api/jobs/x/alpha?draft=1&sequence={number}"
        drafts.append(server.send(*server.head("GET", path)))
        wait_until(lambda: server.shop.matting.length == 1)
        time.sleep(0.02)
    server.matter.gate.set()
    stale, newest = read(drafts[0]), read(drafts[1])
    assert stale.status == 409 and stale.json["stale"] is True
    assert newest.status == 200 and newest.headers["X-A2U-Sequence"] == "2"
    assert newest.headers["X-A2U-Size"] == "24x24"
    assert read(blocking).status == 200


def wait_until(holds) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_work_can_be_cancelled_while_it_runs_and_while_it_waits(server: Serving) -> None:
    server.put_job("x", 60)
    server.put_job("y", 61)
    server.matter.gate.clear()
    running = server.send(*server.head("GET", "/api/jobs/x/alpha"))
    assert server.matter.began.wait(5)
    waiting = server.send(*server.head("GET", "/api/jobs/y/cutout"))
    wait_until(lambda: server.shop.matting.length == 1)
    wait_until(lambda: server.shop.work("x")["step"] == "pass 1 of 1")
    assert server.ask("GET", "/api/jobs/x").json["work"]["done"] == 0.5
    told = server.ask("GET", "/api/jobs/y").json["work"]
    assert (told["state"], told["place"]) == ("waiting", 1)
    for name, opened in (("y", waiting), ("x", running)):
        assert server.ask("DELETE", f"/api/jobs/{name}/alpha").json == {"cancelled": 1}
        answer = read(opened)
        assert answer.status == 409 and "cancelled" in answer.error
        assert server.ask("GET", f"/api/jobs/{name}").json["work"]["state"] == "cancelled"
    server.matter.gate.set()
    assert server.ask("GET", "/api/jobs/x/alpha").status == 200


def test_the_uncertain_places_say_where_to_paint_next(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.ask("GET", "/api/jobs/p1/uncertain").status == 200
    monkeypatch.setattr(
        "a2u_cli.serve.desk.doubt",
        lambda *asked, watch: (asked[2] == 128).astype(np.float32),
    )
    answer = server.ask("GET", "/api/jobs/p1/uncertain")
    assert answer.status == 200 and levels_of(answer.body).ndim == 2
    x, y = map(int, answer.headers["X-A2U-Next"].split(","))
    assert levels_of(trimap())[y, x] == 128


def test_the_uncertain_places_are_those_of_the_full_matte_that_is_at_hand(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def spy(*asked: object, watch: object) -> np.ndarray:
        seen.append(asked[3])
        return np.zeros((2, 2), np.float32)

    monkeypatch.setattr("a2u_cli.serve.desk.doubt", spy)
    for path in ("uncertain", "alpha?depth=8", "uncertain"):
        assert server.ask("GET", f"/api/jobs/p1/{path}").status == 200
    assert seen[0] is None and isinstance(seen[1], np.ndarray) and seen[1].shape == (24, 24)
    server.ask("PUT", "/api/jobs/p1/trimap", trimap(edge=2))
    server.ask("GET", "/api/jobs/p1/uncertain")
    assert seen[2] is None  # that matte is of another trimap


def test_looking_for_uncertain_places_is_cancelled_at_once(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()

    def endless(*_: object, watch: Callable[[str, float], None]) -> np.ndarray:
        while True:
            watch("pass 1 of 1", 0.5)
            began.set()
            time.sleep(0.002)

    monkeypatch.setattr("a2u_cli.serve.desk.doubt", endless)
    asked = server.send(*server.head("GET", "/api/jobs/p1/uncertain"))
    assert began.wait(60)
    assert server.ask("DELETE", "/api/jobs/p1/alpha").json == {"cancelled": 1}
    answer = read(asked)
    assert answer.status == 409 and answer.error == "uncertain was cancelled; ask again for it"


def test_a_box_makes_a_trimap(server: Serving) -> None:
    levels = np.full((24, 24, 3), 20, np.uint8)
    levels[8:16, 6:18] = 240
    server.ask("PUT", "/api/jobs/x/image", png(levels))
    box = {"x": 4, "y": 6, "width": 16, "height": 12, "band": "1"}
    assert server.ask("POST", "/api/jobs/x/box", box).status == 200
    made = levels_of(server.ask("GET", "/api/jobs/x/trimap").body)
    assert made[12, 12] == 255 and made[2, 2] == 0 and made[8, 12] == 128


def test_projects_outlive_the_server(folder: Path, environment: Path) -> None:
    with serving(folder) as server:
        sha256 = server.ask("GET", "/api/jobs/p1").json["sha256"]
        assert server.ask("GET", "/api/jobs/p1/project").status == 204
        for strokes in (1, 2):
            put = server.ask("PUT", "/api/jobs/p1/project", project(sha256, strokes))
            assert put.status == 200 and Path(put.json["path"]).is_relative_to(environment)
        assert rows(server)["a"]["state"] == "draft"
        other = server.ask("PUT", "/api/jobs/p2/project", project(sha256))
        assert other.status == 409 and "another picture" in other.error
    with serving(folder) as server:
        assert rows(server)["a"]["state"] == "draft"
        assert server.ask("GET", "/api/jobs/p1/project").json == project(sha256, 2)
        server.ask("PUT", "/api/jobs/again/image", picture(1))  # wherever the picture lies
        assert server.ask("GET", "/api/jobs/again/project").json == project(sha256, 2)


def test_a_project_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = Drafts(tmp_path)
    first = json.dumps(project("ab")).encode()
    drafts.save("ab", Path("a.png"), first)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Exception, match="No space left"):
        drafts.save("ab", Path("a.png"), json.dumps(project("ab", 5)).encode())
    assert drafts.load("ab") == first and len(list(tmp_path.iterdir())) == 1


def test_scripts_jobs_are_gone_after_an_hour_unless_they_are_busy() -> None:
    now = 0.0
    spool = Spool()
    kept = Job("p1", "a", Path("a.png"), pair=open_pair())
    bench = Bench((kept,), clock=lambda: now)
    for name in ("idle", "used", "busy"):
        bench.put(Job(name, name, spool.begin()))
    files = [bench.get(name).path for name in ("idle", "used", "busy")]
    now = HOUR - 1
    assert bench.expire(()) == []
    bench.get("used")
    now = HOUR + 1
    assert bench.expire({"busy"}) == ["idle"]
    assert [path.exists() for path in files] == [False, True, True]
    assert {job.name for job in bench.all} == {"p1", "used", "busy"}
    spool.close()


def open_pair():  # type: ignore[no-untyped-def]
    from a2u_cli.pairing import Pair

    return Pair("a", Path("a.png"), Path("a.png"))


def test_uploads_lie_in_a_private_folder_that_goes_with_the_server(folder: Path) -> None:
    with serving(folder) as server:
        server.put_job("x")
        place = server.shop.bench.get("x").path.parent
        assert place.stat().st_mode & 0o077 == 0 and any(place.iterdir())
    assert not place.exists()


def test_all_uploads_together_are_bounded() -> None:
    spool = Spool(most=10)
    held, other = spool.begin(), spool.begin()
    held.add(b"12345678")
    with pytest.raises(Refused, match="all uploads together"):
        other.add(b"123")
    del held
    other.add(b"123")
    assert (spool.held, other.path.read_bytes()) == (3, b"123")
    spool.close()


def test_what_is_at_hand_is_bounded_and_what_is_old_goes_first() -> None:
    shelf, made = Shelf(most=5 * 2000), []

    def make(key: int) -> np.ndarray:
        made.append(key)
        return np.zeros(1000, np.uint8)

    for key in (1, 2, 3, 4, 5, 1, 6, 1, 2):
        shelf.keep(key, lambda key=key: make(key))
    assert made == [1, 2, 3, 4, 5, 6, 2] and shelf.held == shelf.most
    assert shelf.keep("large", lambda: bytes(20_000)) and shelf.held == shelf.most


def test_turns_that_are_closed_end_what_runs_and_refuse_the_rest() -> None:
    turns, began = Turns("the network"), threading.Event()

    def work(watch):  # type: ignore[no-untyped-def]
        began.set()
        while True:
            watch("on", 0.1)
            time.sleep(0.001)

    running, waiting = turns.take("a", "alpha", work), turns.take("b", "alpha", work)
    assert began.wait(5)
    turns.close()
    turns.join(5)
    for turn in (running, waiting):
        assert isinstance(turn.future.result(5), Refused) and turn.progress.state == "cancelled"
    with pytest.raises(Refused, match="stopping"):
        turns.take("c", "alpha", work)


def test_the_description_is_of_the_routes_that_there_are(server: Serving) -> None:
    described = server.ask("GET", "/openapi.json", token=None).json
    assert described["openapi"].startswith("3.1")
    paths = {
        (path, method)
        for path, there in described["paths"].items()
        for method in there
        if method != "parameters"
    }
    routes = {
        (route.path, method.lower())
        for route in make_app(server.shop).routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD"
    }
    assert paths == routes - {("/", "get")}
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(described)))
    assert all(name in described["components"][kind] for kind, name in references)


def curl(server: Serving, line: str) -> Answer:
    """Ask as a line of curl does, by the options that the page uses."""
    address = f"http://127.0.0.1:{server.port}"
    line = line.replace("$URL", f"{address}/api/jobs").replace(
        "$AUTH", f"Authorization: Bearer {TOKEN}"
    )
    parser = argparse.ArgumentParser()
    for option in ("-H", "-T", "-X", "-d", "-o"):
        parser.add_argument(option)
    parser.add_argument("url")
    asked = parser.parse_args(shlex.split(line, comments=True)[1:])
    name, value = asked.H.split(": ")
    body = Path(asked.T).read_bytes() if asked.T else asked.d and asked.d.encode()
    method = asked.X or ("PUT" if asked.T else "POST" if asked.d else "GET")
    path = asked.url.removeprefix(address)
    answer = server.ask(method, path, body, {name: value}, token=None)
    if asked.o:
        Path(asked.o).write_bytes(answer.body)
    return answer


def test_the_curl_lines_of_the_page_do_what_it_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    levels = np.zeros((48, 64), np.uint8)
    levels[12:34, 14:40] = 255
    Path("photo.jpg").write_bytes(encode_image(np.dstack([levels] * 3), "jpeg"))
    Path("meadow.jpg").write_bytes(Path("photo.jpg").read_bytes())
    Path("mask.png").write_bytes(png(levels))
    levels[10:36, 30:44] = 128
    Path("trimap.png").write_bytes(png(levels))
    (folder / "a.png").write_bytes(Path("photo.jpg").read_bytes())
    page = (ROOT / "docs" / "serve.md").read_text()
    lines = re.findall(r"^curl .*", page, re.MULTILINE)
    assert len(lines) > 10
    with serving(folder) as server:
        for line in lines:
            answer = curl(server, line)
            assert answer.status in (200, 201, 204), (line, answer.body)
    assert Path("alpha.png").read_bytes().startswith(b"\x89PNG")
    assert Path("cat.tif").read_bytes().startswith(b"II")
    assert (folder / "a2u_output" / "cutout" / "a.png").is_file()


@pytest.fixture(scope="module")
def matter(weights: Path) -> Matter:
    return Matter(weights)


@pytest.fixture
def deep(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with a picture of 16 bits, its trimap and a picture without."""
    place = tmp_path / "deep"
    for name in ("a", "b"):
        write_image(place / f"{name}.png", rng.random((SIZE, SIZE, 3), np.float32), depth=16)
    (place / "a_trimap.png").write_bytes(trimap(SIZE))
    return place


def test_the_answers_are_the_files_that_matte_writes(
    deep: Path, matter: Matter, a2u: RunA2U, tmp_path: Path
) -> None:
    alpha, cutout = tmp_path / "alpha.png", tmp_path / "cutout.tif"
    own, mine = deep / "a_trimap.png", tmp_path / "a.png"  # as a painted one is named when saved
    with serving(deep, matter) as server:
        for drawn in (own, mine):  # the folder's; then one that was painted
            if drawn == mine:
                server.ask("PUT", "/api/jobs/p1/trimap", own.read_bytes())
                mine.write_bytes(server.ask("GET", "/api/jobs/p1/trimap").body)
            for query, options in (
                ("?depth=16&levels=5%25,95%25&choke=0.5&feather=1", ("--depth", "16")),
                ("?format=tiff", ()),
            ):
                kind = "cutout" if "tiff" in query else "alpha"
                got = server.ask("GET", f"/api/jobs/p1/{kind}{query}")
                more = ("--levels", "5%,95%", "--choke", "0.5", "--feather", "1")
                run = a2u(
                    *("matte", deep / "a.png", "-t", drawn, "-o", alpha, "--cutout", cutout),
                    *("--force", *options, *(more * (kind == "alpha"))),
                )
                assert run.code == 0, run.stderr
                assert got.body == (alpha if kind == "alpha" else cutout).read_bytes()


def batch(a2u: RunA2U, folder: Path, *options: str) -> Run:
    return a2u("batch", folder, "--workers", "1", *options)


def test_a_batch_finds_done_what_was_saved(deep: Path, matter: Matter, a2u: RunA2U) -> None:
    drawn = (deep / "a_trimap.png").read_bytes()
    assert batch(a2u, deep, "--save", "alpha,cutout").code == 1  # b has no trimap
    with serving(deep, matter) as server:
        assert {name: row["state"] for name, row in rows(server).items()} == {
            "a": "done",
            "b": "untouched",
        }
        for job, edge in (("p1", 4), ("p2", 8)):
            server.ask("PUT", f"/api/jobs/{job}/trimap", trimap(SIZE, edge))
            saved = server.ask("POST", f"/api/jobs/{job}/save", {"kinds": ["alpha", "cutout"]})
            assert saved.status == 200, saved.body
            assert all(Path(path).is_file() for path in saved.json["paths"])
        assert {row["state"] for row in rows(server).values()} == {"done"}
        asked = server.ask("GET", "/api/jobs/p1/alpha").body
    out = deep / "a2u_output"
    assert (out / "alpha" / "a.png").read_bytes() == asked
    assert (deep / "a_trimap.png").read_bytes() == drawn  # what somebody drew stays
    again = batch(a2u, deep, "--save", "alpha,cutout")
    assert again.code == 0 and "0 done, 2 skipped, 0 failed" in again.stderr, again.stderr
    assert (out / "alpha" / "a.png").read_bytes() == asked
    with serving(deep, matter) as server:  # the painted trimap is where one begins
        trimap_now = levels_of(server.ask("GET", "/api/jobs/p1/trimap").body)
        assert (trimap_now == levels_of(trimap(SIZE, 4))).all()
        assert server.ask("POST", "/api/jobs/p1/save", {"kinds": ["alpha"]}).status == 200


def test_saving_replaces_nothing_that_is_not_its_own(server: Serving, folder: Path) -> None:
    place = folder / "a2u_output" / "alpha" / "a.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"somebody's")
    refused = server.ask("POST", "/api/jobs/p1/save", {"kinds": ["alpha"]})
    assert refused.status == 422 and "no result of a run" in refused.error
    assert place.read_bytes() == b"somebody's"
    forced = server.ask("POST", "/api/jobs/p1/save", {"kinds": ["alpha"], "force": True})
    assert forced.status == 200 and place.read_bytes().startswith(b"\x89PNG")


def test_saving_waits_for_no_run_that_is_at_work_there(server: Serving, folder: Path) -> None:
    from a2u_cli.images.files import locked
    from a2u_cli.jobs.journal import JOURNAL

    with locked(folder / "a2u_output", JOURNAL):
        refused = server.ask("POST", "/api/jobs/p1/save", {})
    assert refused.status == 422 and "another run is at work" in refused.error
    assert server.ask("POST", "/api/jobs/p1/save", {}).status == 200


def test_a_trimap_alone_can_be_saved(server: Serving, folder: Path) -> None:
    server.ask("PUT", "/api/jobs/p3/trimap", trimap())
    saved = server.ask("POST", "/api/jobs/p3/save", {"kinds": ["trimap"]}).json["paths"]
    assert saved == [str(folder / "a2u_output" / "trimap" / "more" / "c.png")]
    assert (levels_of(Path(saved[0]).read_bytes()) == levels_of(trimap())).all()
    assert not server.matter.order


def test_only_pictures_of_the_folder_are_saved(server: Serving) -> None:
    server.put_job("mine")
    refused = server.ask("POST", "/api/jobs/mine/save", {})
    assert refused.status == 409 and "GET its results" in refused.error


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("nowhere",), ("nowhere", "does not exist")),
        ((".",), ("has no pictures",)),
        (("a.txt",), ("a.txt", "not a picture")),
        (("a.png", "--host", "0.0.0.0"), ("every address", "192.168.1.5")),
        (("a.png", "--name", "*"), ("'*' is no machine's name", "studio.local")),
        (("a.png", "--host", "256.1.1.1"), ("cannot be listened on",)),
        (("a.png", "--token", "short"), ("5 characters", "16 or more")),
        (("a.png", "--save", "alpha,all"), ("expected some of alpha",)),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(
    a2u: RunA2U,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    parts: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "a.png" in options:
        Path("a.png").write_bytes(picture())
    Path("a.txt").write_text("words")
    assert_refused(a2u("serve", *options, "--no-open"), 2, *parts)


def test_a_taken_port_is_said(a2u: RunA2U, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = a2u("serve", folder, "--no-open", "--port", port)
    assert_refused(run, 2, f"127.0.0.1:{port} cannot be listened on", "another --port")


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_a_line_says_what_to_install(
    a2u: RunA2U, folder: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert_refused(a2u("serve", folder), 2, "pip install 'a2u-cli[serve]'")


def test_the_browser_is_opened_with_no_token_in_its_command_line(
    a2u: RunA2U, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Path, str, int, int]] = []

    def browse(address: str) -> bool:
        path = Path(unquote(urlsplit(address).path))
        modes = path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777
        seen.append((address, path, path.read_text(), *modes))
        return False

    def wait(*_: object, **__: object) -> None:
        for thread in threading.enumerate():
            if thread.name == "a2u browser":
                thread.join(60)

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr(Server, "run", wait)
    run = a2u("serve", folder, "--token", TOKEN)
    assert "no browser was found; open the address above" in run.stderr
    [(address, path, text, mode, folder_mode)] = seen
    assert run.code == 0 and address.startswith("file:///") and TOKEN not in address
    assert f'url={run.stdout.decode().strip()}"' in text and f"#token={TOKEN}" in text
    assert (mode, folder_mode) == (0o600, 0o700) and not path.exists()


def test_ctrl_c_ends_it_with_the_work_under_way(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    assert {*HANDLED_SIGNALS} >= {*stopping.SIGNALS}  # SIGTERM goes the same way
    more = {"A2U_WEIGHTS": str(weights), "A2U_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "a2u_cli", "serve", str(folder), "--no-open"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **more}
    )
    assert process.stdout
    address = process.stdout.readline().decode().strip()
    assert address.startswith("http://127.0.0.1:") and address.endswith(f"/#token={TOKEN}")
    server = Serving(int(address.split(":")[2].split("/")[0]), None, FakeMatter())  # type: ignore
    large = picture(side=1500)
    server.ask("PUT", "/api/jobs/x/image", large)
    server.ask("PUT", "/api/jobs/x/trimap", trimap(1500))
    asked = server.send(*server.head("GET", "/api/jobs/x/alpha"))
    wait_until(lambda: server.ask("GET", "/api/jobs/x").json["work"]["state"] == "running")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert read(asked).status == 409
    assert process.returncode == 130
    assert told.decode().splitlines()[-1].startswith("interrupted;")
    assert b"Traceback" not in told
    assert not list(tmp_path.glob("a2u-serve-*"))
