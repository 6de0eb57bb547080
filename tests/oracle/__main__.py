"""Run this folder's tests on new random cases for an hour: `make oracle`, or `python -m tests.oracle MINUTES`.

Each round has a seed, which is printed; `pytest tests/oracle --hypothesis-seed=SEED`, with the same number of cases in
`SIGHTGLASS_ORACLE_EXAMPLES`, draws the same cases.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.oracle.budget import EXAMPLES

CASES = "40"
"""Cases of each test and round."""


def run(minutes: float) -> int:
    """Run rounds until the time is over; return how many failed."""
    end = time.monotonic() + 60 * minutes
    failed: list[int] = []
    rounds = 0
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(2**32)
        call = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent), f"--hypothesis-seed={seed}"]
        done = subprocess.run(call, env=os.environ | {EXAMPLES: CASES}, check=False)
        rounds += 1
        failed += [seed] if done.returncode else []
        print(f"round {rounds}, seed {seed}: {'failed' if done.returncode else 'passed'}", flush=True)
    print(f"{rounds} rounds of {CASES} cases a test; failed: {', '.join(map(str, failed)) or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(bool(run(float(sys.argv[1]) if len(sys.argv) > 1 else 60)))
