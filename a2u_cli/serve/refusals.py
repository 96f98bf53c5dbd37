"""What a request is refused with: words, a status, and where it helps, when to ask again."""

import errno
from typing import Any

from starlette.responses import JSONResponse, Response

from ..errors import A2UError, OutOfMemory, in_words

FULL = (errno.ENOSPC, errno.EDQUOT)


class Refused(A2UError):
    """A request that is not done: the text says what was found, what was expected, what to do.

    `facts` are told beside it, `retry` is after how many seconds it may be asked again.
    """

    def __init__(self, status: int, text: str, *, retry: int | None = None, **facts: Any) -> None:
        super().__init__(text)
        self.status, self.retry, self.facts = status, retry, facts

    def anew(self) -> "Refused":
        """Give the same without what led to it: a traceback holds pictures and their files."""
        return Refused(self.status, str(self), retry=self.retry, **self.facts)

    @property
    def response(self) -> Response:
        """Return it as an answer."""
        headers = {} if self.retry is None else {"Retry-After": str(self.retry)}
        return JSONResponse({"error": str(self), **self.facts}, self.status, headers)


def refusal(error: Exception) -> Refused:
    """Say any failure as a refusal, in the words that the commands would say it in."""
    if isinstance(error, Refused):
        return error.anew()
    text, known = in_words(error)
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in FULL:
        return Refused(507, f"{text}; make room on that disk")
    if known == OutOfMemory.exit_code:
        return Refused(413, text)
    return Refused(500 if known is None else 422, text)
