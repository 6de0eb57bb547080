"""`python -m explain`: the engine on the command line."""

import sys

from explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
