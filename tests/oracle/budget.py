"""How many random cases each test of this folder draws: a few fixed ones, or others for an hour by `make oracle`."""

import os

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = "SIGHTGLASS_ORACLE_EXAMPLES"
"""Names the environment variable with the number of cases of a long run."""
_long = os.environ.get(EXAMPLES)

budget = settings(
    max_examples=int(_long or 6),
    derandomize=_long is None,
    database=None,
    deadline=None,
    # To look for the smallest case takes minutes.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
