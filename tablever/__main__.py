"""``python -m tablever``: the shell."""

from tablever.cli.main import main

if __name__ == "__main__":
    main()
