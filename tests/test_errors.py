"""Errors that users can mend, and telling which of a library's errors mean memory."""

import errno
import os

import pytest

from a2u_cli.errors import in_words, is_memory


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
        (ValueError("shapes do not fit"), False),
    ],
)
def test_an_error_of_memory_is_told_from_others(error: Exception, memory: bool) -> None:
    assert is_memory(error) is memory


def test_a_missing_system_library_is_named_with_what_brings_it() -> None:
    loader = "libGL.so.1: cannot open shared object file: No such file or directory"
    text, code = in_words(ImportError(loader))
    assert text.startswith("libGL.so.1 is not on this machine") and "apt-get install libgl1" in text
    assert code == 2


def test_what_needs_torch_says_so_where_it_is_missing() -> None:
    text, code = in_words(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert "pip install torch" in text and code == 2
