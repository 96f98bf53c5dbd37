"""Errors that users can mend, and telling which of a library's errors mean memory."""

import errno
import os

import pytest

from a2u_cli.errors import is_memory


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
