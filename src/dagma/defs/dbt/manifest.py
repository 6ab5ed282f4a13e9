"""dbt's manifest as Dagster's specs, read with nothing but json.

Importing dagster_dbt takes longer than importing Dagster, since it imports dbt; so it waits until
models are built. The keys and names here are those that dagster_dbt's events have then; a test
compares the two.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from dagma import values
from dagma.kit.settings import setting

PROJECT = Path(__file__).parent / "project"
VARIABLE = "DBT_MANIFEST"
GROUP = "analytics"
#: dagster_dbt's name for it, too.
UNIQUE_ID = "dagster_dbt/unique_id"

type Node = Mapping[str, Any]


def find() -> Path | None:
    """The manifest that the environment names, or that `dbt parse` left in the project; or None."""
    named: Path | None = setting(VARIABLE, values.Directory, None)
    path = named or PROJECT / "target/manifest.json"
    return path if named or path.exists() else None


@dataclass(frozen=True)
class Manifest:
    """A manifest as `dbt parse` writes it; its macros may be left out."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest file.

        Raises:
            DagsterInvalidDefinitionError: It cannot be read, or is no manifest.
        """
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise dg.DagsterInvalidDefinitionError(
                f"The dbt manifest {path} cannot be read ({error}): set {VARIABLE} to what "
                "`dbt parse` wrote, or leave it unset."
            ) from error
        if not isinstance(content, dict) or not {"nodes", "sources"} <= content.keys():
            raise dg.DagsterInvalidDefinitionError(f"{path} is no manifest of dbt.")
        return cls(content)

    @cached_property
    def models(self) -> list[dg.AssetSpec]:
        """An asset per model; its sources are the assets that they name in `asset_key`."""
        return [self._asset(node) for node in self._nodes("model")]

    @cached_property
    def tests(self) -> list[dg.AssetCheckSpec]:
        """A check per test that belongs to one model."""
        owned = [(node, self._tested(node)) for node in self._nodes("test")]
        return [self._check(node, model) for node, model in owned if model]

    def selectors(self, unique_ids: Iterable[str]) -> list[str]:
        """How dbt's `--select` names these nodes."""
        return [".".join(self.content["nodes"][one]["fqn"]) for one in unique_ids]

    def _nodes(self, kind: str) -> list[Node]:
        nodes = self.content["nodes"]
        return [nodes[one] for one in sorted(nodes) if nodes[one]["resource_type"] == kind]

    def _key(self, unique_id: str) -> dg.AssetKey:
        node = {**self.content["sources"], **self.content["nodes"]}[unique_id]
        named = _dagster(node).get("asset_key")
        if named:
            return dg.AssetKey(named)
        parent = node.get("source_name") or node["config"].get("schema")
        return dg.AssetKey([parent, node["name"]] if parent else node["name"])

    def _asset(self, node: Node) -> dg.AssetSpec:
        columns = [
            dg.TableColumn(name, type=column["data_type"] or "?", description=column["description"])
            for name, column in node["columns"].items()
        ]
        return dg.AssetSpec(
            self._key(node["unique_id"]),
            deps=[self._key(parent) for parent in node["depends_on"]["nodes"]],
            description=node["description"],
            group_name=GROUP,
            code_version=node["checksum"]["checksum"],
            kinds={"dbt", self.content["metadata"]["adapter_type"]},
            metadata={
                UNIQUE_ID: node["unique_id"],
                "dagster/column_schema": dg.TableSchema(columns=columns),
                "dagster/table_name": f"{node['schema']}.{node['alias']}",
            },
        )

    def _tested(self, test: Node) -> str | None:
        """The model that a test belongs to: its own, the one it names, or the only one it reads."""
        named = _dagster(test).get("ref", {}).get("name")
        if named:
            found = [node["unique_id"] for node in self._nodes("model") if node["name"] == named]
            return found[0] if found else None
        parents: list[str] = test["depends_on"]["nodes"]
        owner: str | None = parents[0] if len(parents) == 1 else test.get("attached_node")
        return owner if owner and owner.startswith("model.") else None

    def _check(self, test: Node, model: str) -> dg.AssetCheckSpec:
        # A test in SQL has it in its config, one in YAML maybe beside its name.
        text = test["config"].get("description") or test["description"]
        if generic := test.get("test_metadata"):
            text = text or f"{test.get('column_name')}: {generic['name']}"
        return dg.AssetCheckSpec(
            test["name"],
            asset=self._key(model),
            description=text or None,
            blocking=test["config"]["severity"].lower() == "error",
            metadata={UNIQUE_ID: test["unique_id"]},
        )


def _dagster(node: Node) -> Mapping[str, Any]:
    meta = node["config"].get("meta") or node.get("meta") or {}
    found: Mapping[str, Any] = meta.get("dagster", {})
    return found
