"""The errors a user can mend; each carries the exit code of the command that meets it."""

from collections.abc import Sequence

MOST_NAMED = 10
MOST_LETTERS = 4000  # of a line; a path may have that many


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


class Interrupted(BaseException):
    """The user stopped the work; no `except Exception` on the way up may swallow it."""

    def __init__(self, text: str, exit_code: int = 130) -> None:
        super().__init__(text)
        self.exit_code = exit_code


# What libraries say when memory is used up, in small letters.
SHORTAGES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",  # C++
    "bad allocation",  # C++ on Windows
    "insufficient memory",  # OpenCV
    "failed to allocate",  # OpenCV, oneDNN
    "unable to allocate",  # numpy
    "could not allocate",
    "memory allocation",  # libheif
    "could not create a memory",  # oneDNN
    "could not create a primitive",  # oneDNN: on a CPU that is what it lacks
    "failed to map segment",  # the loader of libraries
    "can't start new thread",  # Python: there is no room for its stack
)


def is_memory(error: BaseException) -> bool:
    """Tell whether an error of any library means that memory is used up."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(shortage in text for shortage in SHORTAGES)


def listed(names: Sequence[object]) -> str:
    """Name all of a few things, of many the first ten and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(str, names[:MOST_NAMED])) + more


def in_words(error: BaseException) -> tuple[str, int | None]:
    """Say any failure in one line, with the exit code of its kind; None where nobody foresaw it.

    This is the one rule: our own errors speak for themselves, a shortage of memory is called that,
    and where the system refuses a file (no permission, too long a name, links in a circle, a full
    disk) it is named, with what the system said. Names stay as they are: whoever prints them
    escapes what they hold. Of what is longer than any line should be, the
    middle is left out.
    """
    text, code = _said(error)
    if len(text) > MOST_LETTERS:
        half = MOST_LETTERS // 2
        text = f"{text[:half]} [...] {text[-half:]}"
    return text, code


def _said(error: BaseException) -> tuple[str, int | None]:
    if isinstance(error, A2UError):
        text, code = str(error), error.exit_code
    elif is_memory(error):
        text = "out of memory; close other programs, make the picture smaller or bound it with "
        text, code = f"{text}--max-memory", OutOfMemory.exit_code
    elif isinstance(error, OSError) and error.strerror:
        files = " and ".join(str(f) for f in (error.filename, error.filename2) if f is not None)
        where = files or "what is read or written"
        text = f"{where} cannot be used ({error.strerror}); check that, and its permissions"
        code = A2UError.exit_code
    elif isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib
        text, code = f"a path cannot be followed ({error}); mend the links", A2UError.exit_code
    elif isinstance(error, ModuleNotFoundError) and error.name == "torch":
        text = (
            "torch is not installed, and this needs it (a matte by --runtime onnx does not); run: "
        )
        text, code = f"{text}pip install torch", A2UError.exit_code
    elif isinstance(error, ImportError) and "cannot open shared object file" in str(error):
        library = str(error).partition(":")[0]
        text = f"{library} is not on this machine, and OpenCV or another package needs it; on "
        text, code = f"{text}Debian run: apt-get install libgl1 libglib2.0-0", A2UError.exit_code
    else:
        return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}", None
    return text, code
