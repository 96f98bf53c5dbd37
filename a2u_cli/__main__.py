"""`python -m a2u_cli` is `a2u`."""

from .cli import main

if __name__ == "__main__":
    main()
