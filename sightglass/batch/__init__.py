"""Explain many pictures to files and one table.

    from sightglass.batch import run
    summary = run("pictures/", "efficientnet-lite0", "out/")

Importing this package is free; torch comes in with the first run.
"""

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.batch.runner import BatchJob as BatchJob
    from sightglass.batch.runner import Summary as Summary
    from sightglass.batch.runner import run as run

defer_imports(__name__, {"runner": ["BatchJob", "Summary", "run"]})
