"""What Dagster's own processes load: its instance with what Dagma changes, one module per concern.

| module | what it changes |
|---|---|
| `leases`, `launcher` | a run whose process died is noticed |
| `lost_starts` | so is one that has not begun |
| `lost_ends` | a run that had done everything when its process died is a success |
| `retries` | a retry waits for a code location that is away |
| `ticks` | days of ticks are settings |
| `pool` | the webserver survives a restart of PostgreSQL |
| `environment` | a service has what the stack gave it; no second daemon |
| `pickles` | run config names no pickle |

`dagster_private` has every name of Dagster's that is not public. `dagster.yaml`, beside, names
`Instance`; it is imported when asked for, so that nobody pays for it who needs only a part.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagma.instance.whole import Instance

__all__ = ["Instance"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - of any type
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dagma.instance import whole

    return getattr(whole, name)
