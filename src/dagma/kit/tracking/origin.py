"""Where an MLflow run comes from: the tags that lead from it to Dagster's run, the code and the user."""

import getpass
import inspect
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from dagma import values
from dagma.kit.settings import setting

__all__ = ["commit", "tags", "user"]

#: Tags of an MLflow run.
DAGSTER_RUN_ID = "dagster.run_id"
DAGSTER_ASSET = "dagster.asset"
DAGSTER_URL = "dagster.url"

#: Where people reach Dagster's web interface; set by the stack.
PUBLIC_URL = "DAGMA_PUBLIC_URL"
#: The commit of the code where there is no checkout to ask, as in an image.
COMMIT = "GIT_COMMIT"
#: That of the code that Nix built; set by the stack.
REVISION = "DAGMA_REVISION"
STORE = Path("/nix/store")


def tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    """The tags of a run; those that begin with `mlflow.` are shown by MLflow in places of their own."""
    asset = context.asset_key.to_user_string()
    found = {
        DAGSTER_RUN_ID: context.run.run_id,
        DAGSTER_ASSET: asset,
        "dagster.job": context.run.job_name,
        "dagster.partition": context.run.tags.get("dagster/partition", ""),
        "mlflow.source.type": "JOB",
        "mlflow.source.name": f"Dagster: {asset}",
        "mlflow.user": user(context.run),
        "mlflow.source.git.commit": commit(_code(context)),
    }
    if base := setting(PUBLIC_URL, values.Url, "").rstrip("/"):
        url = f"{base}/runs/{context.run.run_id}"
        # MLflow renders the description as Markdown; a tag alone would be no link.
        found |= {DAGSTER_URL: url, "mlflow.note.content": f"[Run in Dagster]({url}) of `{asset}`"}
    return {name: value for name, value in found.items() if value}


def user(run: dg.DagsterRun) -> str:
    """Who started a run: Dagster's tag `user`, or else whose process this is."""
    if named := run.tags.get("user"):
        return named
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return str(os.getuid())


def commit(code: Path | None) -> str:
    """The commit that Nix built some code from, or that is checked out around it; else GIT_COMMIT.

    Empty where none is known; with `-dirty` at its end where Nix built what was not committed.
    """
    if code is None:
        return os.environ.get(COMMIT, "")
    if code.resolve().is_relative_to(STORE) and (built := os.environ.get(REVISION)):
        return built
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=code,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return os.environ.get(COMMIT, "")
    return done.stdout.strip() or os.environ.get(COMMIT, "")


def _code(context: dg.AssetExecutionContext) -> Path | None:
    """The folder of the asset's function; None for one that is in no file."""
    compute: Any = getattr(context.op_def, "compute_fn", None)
    function: Callable[..., Any] | None = getattr(compute, "decorated_fn", None)
    try:
        return Path(inspect.getfile(function)).parent if function else None
    except TypeError:
        return None
