"""The component by its former name, which YAML files of teams may have: `dagma.kit.pipeline` now."""

from dagma.kit.pipeline import Pipeline as Pipeline
