"""`a2u`, and `python -m a2u_cli`: listens to Ctrl-C before it imports what takes time."""

import sys

from .commands.stopping import deafen, listen
from .errors import Interrupted


def main() -> None:
    """Run the command line."""
    try:
        listen()
        from .cli import main as run

        run()
    except Interrupted as stop:  # where the command line does not hear it: before, or after
        print(stop, file=sys.stderr)
        raise SystemExit(stop.exit_code) from None
    finally:
        deafen()


if __name__ == "__main__":
    main()
