"""A server of S3 on 127.0.0.1 that counts what it is asked, and fails as it is told."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

SECRET = "a-secret-that-nobody-prints"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
Fault = Callable[[str, str], str | None]  # (method, path) -> "500", "cut", "lost" or None
ERROR = (
    b"<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>"
)


class Server:
    """What stands before moto: `asked` counts methods and paths; `fault` says what goes wrong."""

    def __init__(self, app: Any) -> None:
        self.app, self.asked, self.lock = app, list[tuple[str, str]](), threading.Lock()
        self.url = ""
        self.heal()

    def heal(self) -> None:
        """Let nothing go wrong, and begin to count."""
        self.asked.clear()
        self.fault: Fault = lambda method, path: None

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object past whoever asks."""
        from moto.s3.models import s3_backends

        s3_backends["123456789012"]["aws"].put_object(bucket, key, data)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        listing = "list-type" in environ.get("QUERY_STRING", "")
        method = "LIST" if listing else method
        with self.lock:
            self.asked.append((method, path))
        fault = self.fault(method, path)
        if fault == "500":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [ERROR]
        body = b"".join(self.app(environ, start))
        if fault == "lost":  # it is done, and nobody hears of it
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault == "cut":
            return self._cut(body)
        return [body]

    def _cut(self, body: bytes) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise ConnectionAbortedError

    def count(self, method: str, below: str = "") -> int:
        return sum(how == method and path.startswith(below) for how, path in self.asked)

    @property
    def counts(self) -> Counter[str]:
        return Counter(method for method, _ in self.asked)


@contextmanager
def serving() -> Iterator[Server]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

    server = Server(DomainDispatcherApplication(create_backend_app))
    listening = make_server("127.0.0.1", 0, server, threaded=True, request_handler=Quiet)
    server.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
