"""Devices and precision: float32 is exact while it is computed, and nothing is left switched."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from a2u_cli.matting import devices

CPU = torch.device("cpu")


@pytest.fixture
def hasty() -> Iterator[None]:
    """A host program that trades the precision of float32 for speed."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


def precision() -> str:
    return str(torch.backends.mkldnn.matmul.fp32_precision)


def test_float32_is_exact_and_the_host_gets_its_choice_back(hasty: None) -> None:
    with devices.exactly(torch.float32):
        assert precision() == "ieee"
    assert precision() == "bf16"


def test_half_precision_touches_no_switch(hasty: None) -> None:
    with devices.exactly(torch.bfloat16):
        assert precision() == "bf16"


def test_of_overlapping_calls_the_last_puts_the_switch_back(hasty: None) -> None:
    """The first to come is the first to go: the second is still exact, and nothing is left."""
    second_is_in, first_is_out = threading.Event(), threading.Event()
    noted = []

    def second() -> None:
        with devices.exactly(torch.float32):
            second_is_in.set()
            first_is_out.wait(20)
            noted.append(precision())

    with devices.exactly(torch.float32):
        thread = threading.Thread(target=second)
        thread.start()
        assert second_is_in.wait(20)
    first_is_out.set()
    thread.join()
    assert noted == ["ieee"]
    assert precision() == "bf16"


def test_a_failure_puts_the_switch_back(hasty: None) -> None:
    with pytest.raises(RuntimeError), devices.exactly(torch.float32):
        raise RuntimeError
    assert precision() == "bf16"


def test_what_torch_holds_in_reserve_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the second picture on a GPU gets a smaller plan than the first."""
    numbers = {"memory_reserved": 700, "memory_allocated": 200}
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 9999))
    cuda = SimpleNamespace(type="cuda")
    assert devices.free_memory(cuda) == 1500  # type: ignore[arg-type]


def test_the_memory_of_a_cpu_is_the_processs() -> None:
    assert devices.free_memory(CPU) > 0
