"""Dagster's instance as the stack and the images use it; `dagster.yaml` names the class.

It needs only Dagster and its PostgreSQL storage, since webserver, daemon and user code all load it.
"""

from dagma.instance import pickles
from dagma.instance.environment import GivenEnvironment
from dagma.instance.leases import LeasedRuns
from dagma.instance.lost_ends import LostEnds
from dagma.instance.lost_starts import LostStarts
from dagma.instance.pool import LivePool
from dagma.instance.retries import PatientRetries
from dagma.instance.ticks import TickRetention

pickles.refuse()  # all processes of Dagster's load this module, before any run


class Instance(
    GivenEnvironment, TickRetention, LostEnds, LeasedRuns, LostStarts, PatientRetries, LivePool
):
    """Dagster's instance with all that Dagma changes; each parent is one concern."""
