"""Dagster's instance in this process: costs its imports, so only for commands that need it."""

import os

from dagster import DagsterInstance

from dagma.stack import environment, topology
from dagma.stack.settings import Loaded


def connect(loaded: Loaded) -> DagsterInstance:
    """The instance of a stack; its environment becomes that of this process.

    Raises:
        Exception: Of Dagster's or SQLAlchemy's, when PostgreSQL does not answer.
    """
    names, _ = topology.members("full", loaded.settings)
    os.environ |= environment.exports(loaded, names, os.environ)
    return DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
