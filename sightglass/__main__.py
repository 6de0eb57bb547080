"""Run the command line: `sightglass`, `python -m sightglass`."""

import sys

STOPPED = 130
"""Exit code of a program that Ctrl-C ended."""


def run() -> int:
    """Run the process's own command line, and return its exit code."""
    try:
        # Here, as it takes a while, during which Ctrl-C may come.
        from sightglass.cli import main

        return main()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(run())
