"""Ctrl-C and SIGTERM, from the first moment to the last: one line, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, RunA2U
from words import TRACES, pair

from a2u_cli.commands import stopping
from a2u_cli.errors import Interrupted
from a2u_cli.images import write_image
from a2u_cli.weights import load_model

pytestmark = pytest.mark.usefixtures("environment")


def lines_after(signal_sent: int, command: Sequence[object], delay: float) -> tuple[int, str]:
    started = subprocess.Popen(
        [sys.executable, "-m", "a2u_cli", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(delay)
    os.killpg(started.pid, signal_sent)  # as a terminal does: to every process of the job
    text = started.communicate(timeout=60)[1]
    return started.returncode, text


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_in_the_first_moments_is_one_line(tmp_path: Path, sent: signal.Signals) -> None:
    image, trimap = pair(tmp_path)
    code = (
        "import os, sys, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == NAME: os.kill(os.getpid(), {int(sent)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from a2u_cli.__main__ import main; main()\n"
    )
    for name in ("typer", "cv2") if sent == signal.SIGINT else ("typer",):
        command = [sys.executable, "-c", code.replace("NAME", repr(name)), "matte"]
        done = subprocess.run(
            [*command, str(image), "-t", str(trimap), "--device", "cpu"],
            capture_output=True,
            text=True,
            check=False,
        )
        word = "interrupted" if sent == signal.SIGINT else "terminated"
        assert done.returncode == 128 + sent, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"{word}; nothing half-written is left"), done.stderr
        assert not any(trace in done.stderr for trace in TRACES), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [image.name, trimap.name]


def test_sigterm_while_a_file_is_written_leaves_nothing_half_written(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = pair(tmp_path)
    write_image(tmp_path / "m.png", np.full((24, 32), 0.5, np.float32))
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGTERM))
    run = run_a2u("cutout", image, "-a", tmp_path / "m.png")
    assert (run.code, run.stdout) == (143, b"")
    assert run.stderr.strip().startswith("terminated; nothing half-written is left")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("way", ["__del__", "weakref"])
def test_a_signal_while_a_file_lock_is_let_go_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], way: str
) -> None:
    """Nor wherever else Python tells an exception, and goes on."""

    def end(_: object = None) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(9))  # there the signal is heard

    held = type("Held", (), {"__del__": end} if way == "__del__" else {})()
    followed = weakref.ref(held, end if way == "weakref" else None)
    handlers = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # and put back
    stopping.listen()
    try:
        with pytest.raises(Interrupted):
            del held
            time.sleep(5)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert followed() is None and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("delay", [1.2])
def test_ctrl_c_while_workers_start_is_one_line(tmp_path: Path, delay: float) -> None:
    words = ("render", tmp_path / "out", "--count", "40", "--size", "64", "--workers", "4")
    code, text = lines_after(signal.SIGINT, words, delay)
    assert code == 130, text
    said = [line for line in text.splitlines() if line and "/40 " not in line]
    assert len(said) == 1, text
    assert said[0].startswith("interrupted; ")
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("/lib/multiprocessing/popen_spawn_posix.py", "_launch"),
        ("/lib/multiprocessing/process.py", "start"),
        ("/lib/threading.py", "start"),
    ],
)
def test_a_signal_while_a_worker_is_born_waits_until_its_pool_knows_of_it(
    file: str, function: str
) -> None:
    names: dict[str, Any] = {}
    born: list[str] = []
    source = f"def {function}(send):\n    send()\n    return 'whole'"
    exec(compile(source, file, "exec"), names)
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    stopping.listen()
    try:
        with pytest.raises(Interrupted, match="terminated"):
            born.append(names[function](lambda: signal.raise_signal(signal.SIGTERM)))
            time.sleep(5)
            pytest.fail("it was not told")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert born == ["whole"]


def test_a_signal_while_weights_are_read_is_no_damaged_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch asks a storage for its shape, and takes any exception there for an answer."""
    real, sent = torch.UntypedStorage.__getitem__, []

    def ask(storage: torch.UntypedStorage, key: Any) -> Any:
        if not sent:
            sent.append(signal.raise_signal(signal.SIGTERM))
        return real(storage, key)

    monkeypatch.setattr(torch.UntypedStorage, "__getitem__", ask)
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    stopping.listen()
    try:
        with pytest.raises(Interrupted, match="terminated"):
            load_model(ROOT / "weights" / "a2u-open.safetensors")
            time.sleep(5)
            pytest.fail("it was not told")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert sent


def test_a_signal_in_a_process_s_last_step_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is told by then: what comes while signals are given up breaks nothing off."""
    late: list[int] = []
    monkeypatch.setattr(stopping, "_send_soon", late.append)
    monkeypatch.setattr(
        stopping, "_hand_to", lambda _: stopping._stop(signal.SIGTERM, sys._getframe())
    )
    stopping.deafen()
    assert late == [signal.SIGTERM]
