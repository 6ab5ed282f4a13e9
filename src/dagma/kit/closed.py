"""Resources whose settings are the environment's: whoever launches a run cannot replace them.

Run config can replace any field of a Dagster resource. A path, an address or the name of a file with a
secret are then anybody's who can launch a run, and with them what the run reads, writes and loads.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

__all__ = ["closed"]


def closed(resources: Mapping[str, Any]) -> dict[str, dg.ResourceDefinition]:
    """The same resources, which take nothing from run config; Dagster refuses a run that tries.

    Args:
        resources: By their names; `ConfigurableResource`, `ConfigurableIOManager` or definitions.
    """
    return {name: _closed(resource) for name, resource in resources.items()}


def _closed(resource: Any) -> dg.ResourceDefinition:  # noqa: ANN401 - Dagster's own have no common type
    made = getattr(resource, "get_resource_definition", None)
    definition: dg.ResourceDefinition = made() if made else resource
    schema = definition.config_schema
    values = schema.default_value if schema.default_provided else {}
    return definition.configured(values, config_schema={})
