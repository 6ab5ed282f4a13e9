"""The launcher's name in `dagster.yaml`.

That file is read by processes of an older and a newer Dagma at the same time, after a reload for one,
and copies that users have edited keep the name.
"""

from dagma.instance.launcher import RunLauncher as RunLauncher
