"""Components that YAML files below `dagma/defs` can name; `dg list components` shows them."""

from dagma.components.pipeline import Pipeline as Pipeline
