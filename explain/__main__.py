"""Run the command line in a checkout: `python -m explain`."""

import sys

from sightglass.common.lazy import above

if __name__ == "__main__":
    sys.exit(above("command_line").main())
