"""Print the part of a dbt manifest that Dagster reads, the same for every build of one project."""

import json
import sys
from pathlib import Path
from typing import Any

#: Of the metadata; the others are times and ids of this invocation.
KEPT = ("dbt_schema_version", "dbt_version", "project_name", "adapter_type", "quoting")


def reduced(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest without macros and documentation blocks, and without what another build changes."""
    rest = {key: value for key, value in manifest.items() if key not in ("macros", "docs")}
    rest["metadata"] = {key: manifest["metadata"][key] for key in KEPT}
    return {**_without_times(rest), "macros": {}, "docs": {}}


def _without_times(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key != "created_at"}
    return value


if __name__ == "__main__":
    content = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    json.dump(reduced(content), sys.stdout, indent=1, sort_keys=True)
