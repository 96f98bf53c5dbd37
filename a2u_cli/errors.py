"""The errors a user can mend; each carries the exit code of the command that meets it."""


class A2UError(Exception):
    """Something the user can mend: the text says what was found, expected, and what to do."""

    exit_code = 2


class ImageError(A2UError):
    """A picture cannot be read or written."""


class TrimapError(A2UError):
    """A trimap cannot be used with its image."""


class WeightsError(A2UError):
    """Weights are missing, damaged, or not what they claim to be."""

    exit_code = 3


class OutOfMemory(A2UError):
    """The work does not fit into the memory there is."""

    exit_code = 4


def is_memory(error: BaseException) -> bool:
    """Tell whether an error of any library means that memory is used up."""
    texts = (
        "out of memory",
        "can't allocate memory",
        "cannot allocate memory",
        "not enough memory",
    )
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in texts)


class Interrupted(BaseException):
    """The user stopped the work; no `except Exception` on the way up may swallow it."""

    exit_code = 130
