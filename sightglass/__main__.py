"""Run the command line: `sightglass`, `python -m sightglass`."""

import sys

from sightglass.cli import main

if __name__ == "__main__":
    sys.exit(main())
