import os

import pytest

#: What `nix develop` and this stack's parent set is not what a new user has.
OWN = ("DAGMA_", "POSTGRES_", "DAGSTER_", "MLFLOW_", "QDRANT_", "USER_CODE_", "PG", "PC_")
OWN += ("RECIPES_", "DBT_", "PYTHON")


@pytest.fixture(scope="session")
def new_user():
    """The environment of a new user, who may have chosen a package set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return clean | {k: os.environ[k] for k in ("DAGMA_PACKAGES",) if k in os.environ}
