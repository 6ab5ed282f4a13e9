"""Pipelines written in YAML: each `NAME.yaml` here, and each `NAME/defs.yaml`, is one."""
