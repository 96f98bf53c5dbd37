"""Open the page in a browser without its token in a command line, which all users can list.

The browser is given a small file that leads on to the address, in a folder that is private.
"""

import threading
import webbrowser
from collections.abc import Callable
from html import escape
from pathlib import Path

PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>a2u</title>
<p><a href="{address}">Open a2u</a></p>
"""


def open_page(address: str, folder: Path, say: Callable[[str], object]) -> None:
    """Open a browser by a file in a private folder, and say where none is found; raises OSError.

    It is not waited for: there are browsers that run in the terminal.
    """
    path = folder / "open.html"
    path.touch(0o600, exist_ok=False)
    path.write_text(PAGE.format(address=escape(address)), encoding="utf-8")

    def lead() -> None:
        if not webbrowser.open(path.as_uri()):
            say("no browser was found; open the address above in one")

    threading.Thread(target=lead, name="a2u browser", daemon=True).start()
