"""Lets `python -m reconciler.cli` stand for the `catwalk` command."""

from reconciler.cli.main import main

if __name__ == "__main__":
    main()
