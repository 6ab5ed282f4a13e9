"""Tracking of training: MLflow, or a stub of the same interface where there is none."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from pydantic import Field, PrivateAttr

from dagma.kit.frame import DataFrame
from dagma.kit.tracking import origin, store
from dagma.kit.tracking.origin import DAGSTER_ASSET, DAGSTER_RUN_ID

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowResource", "MlflowStubResource", "MlflowTrackingResource", "Status", "TrackedRun"]

type Status = Literal["FINISHED", "FAILED", "KILLED"]

SQLITE = "sqlite:///"
#: The default of MLFLOW_EXPERIMENT.
EXPERIMENT = "dagma"

#: Seconds that the server may take to say that it is well.
PROBE_SECONDS = 5
#: Seconds between two samples of processor, memory, disk and network.
SAMPLE_SECONDS = 5
#: MLflow's pages open in the view for language models, where a training is nowhere to be seen,
#: unless the address or the browser's memory says otherwise; no tag of an experiment does.
VIEW = "workflowType=machine_learning"


@dataclass
class TrackedRun:
    """One run of a training; `url` is its page in MLflow, `place` where it is without a page.

    Both are empty for the stub.
    """

    id: str
    url: str = ""
    status: str = "RUNNING"
    place: str = ""

    @property
    def is_tracked(self) -> bool:
        """Whether there is such a run in MLflow."""
        return bool(self.url or self.place)

    @property
    def metadata(self) -> dict[str, dg.MetadataValue]:
        """What leads from a materialization in Dagster to the run."""
        if not self.url:
            where = f"{self.id} in {self.place}" if self.place else "not tracked"
            return {"mlflow_run": dg.MetadataValue.text(where)}
        return {"mlflow_run": dg.MetadataValue.url(self.url)}


class MlflowResource(dg.ConfigurableResource["MlflowResource"], ABC):
    """The few methods of tracking that our assets use; one run is open at a time.

    For anything more use MLflow's own client, with the id of the run.
    """

    @abstractmethod
    def start_run(self, context: dg.AssetExecutionContext) -> TrackedRun:
        """Open a run, named after the asset and tagged with the id of Dagster's run."""

    @abstractmethod
    def log_param(self, key: str, value: object) -> None:
        """Log a parameter; its value cannot change within a run."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log several parameters."""
        for key, value in params.items():
            self.log_param(key, value)

    @abstractmethod
    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Log a metric at a step, such as an epoch."""

    @abstractmethod
    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file, under the same name."""

    def log_dataset(self, frame: DataFrame, name: str, source: str) -> None:
        """Note a table that the run is trained on: its digest and columns, not its rows."""

    def register_model(self, folder: Path, name: str) -> str:
        """Keep what `save_model` of an MLflow flavor wrote; the new version, empty for the stub."""
        return ""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias of a registered model point to a version."""

    @abstractmethod
    def close_run(self, status: Status = "FINISHED") -> Status:
        """Close the run; its status in MLflow."""

    @contextmanager
    def run(self, context: dg.AssetExecutionContext) -> Iterator[TrackedRun]:
        """Open a run and close it: FAILED after an error, KILLED when Dagster's run is ended."""
        run = self.start_run(context)
        try:
            yield run
        except BaseException as error:
            ended = isinstance(error, dg.DagsterExecutionInterruptedError | KeyboardInterrupt)
            try:
                self.close_run("KILLED" if ended else "FAILED")
            except Exception as second:  # the first error is the one to be seen
                context.log.warning(f"The MLflow run {run.id} was not closed: {second}")
            raise
        run.status = self.close_run()


class MlflowStubResource(MlflowResource):
    """Takes everything, keeps nothing: for work without a server."""

    def start_run(self, context: dg.AssetExecutionContext) -> TrackedRun:
        """Open nothing; the id says that there is nothing to look up."""
        return TrackedRun(f"stub-{context.run.run_id}")

    def log_param(self, key: str, value: object) -> None:
        """Drop a parameter."""

    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Drop a metric."""

    def log_artifact(self, path: Path) -> None:
        """Drop a file."""

    def close_run(self, status: Status = "FINISHED") -> Status:
        """Close nothing."""
        return status


class MlflowTrackingResource(MlflowResource):
    """Runs on an MLflow server, through its official client.

    The server is asked whether it is well before a run is opened, within seconds. In the middle of
    a run the client tries again by itself, for as long as MLFLOW_HTTP_REQUEST_MAX_RETRIES says, so
    that a restarted server loses nothing.
    """

    tracking_uri: str = Field(default="", description="The server; MLFLOW_TRACKING_URI.")
    experiment: str = Field(default=EXPERIMENT, description="Where runs go; made when missing.")
    unreachable: Literal["stub", "fail"] = Field(
        default="stub",
        description="When the server does not answer: go on without tracking, or fail the asset.",
    )

    _client: "MlflowClient | None" = PrivateAttr(default=None)
    _open: TrackedRun | None = PrivateAttr(default=None)
    _monitor: Any = PrivateAttr(default=None)
    _log: Callable[[str], None] = PrivateAttr(default=print)
    # The server did not answer: nothing more is sent until the next run.
    _degraded: bool = PrivateAttr(default=False)

    def start_run(self, context: dg.AssetExecutionContext) -> TrackedRun:
        """Open a run.

        Raises:
            Failure: There is no client or no address; or the server does not answer, and
                `unreachable` is "fail".
        """
        self._client, self._degraded, self._log = self._connect(), False, context.log.warning
        opened = self._track(lambda client: self._create(client, context))
        self._open = opened or MlflowStubResource().start_run(context)
        if self._open.url:
            context.log.info(f"MLflow run: {self._open.url}")
        if opened:
            self._monitor = self._sample(opened.id)
        return self._open

    def log_param(self, key: str, value: object) -> None:
        """Log a parameter."""
        self._track(lambda client: client.log_param(self._run_id, key, value))

    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Log a metric at a step."""
        self._track(lambda client: client.log_metric(self._run_id, key, value, step=step))

    def log_artifact(self, path: Path) -> None:
        """Upload a file."""
        self._track(lambda client: client.log_artifact(self._run_id, str(path)))

    def log_dataset(self, frame: DataFrame, name: str, source: str) -> None:
        """Note a table that the run is trained on."""
        self._track(lambda client: store.log_dataset(client, self._run_id, frame, name, source))

    def register_model(self, folder: Path, name: str) -> str:
        """Upload a model and register it; its new version, empty without a server."""
        return self._track(lambda client: store.register(client, self._run_id, folder, name)) or ""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias of a registered model point to a version."""
        self._track(lambda client: client.set_registered_model_alias(name, alias, version))

    def close_run(self, status: Status = "FINISHED") -> Status:
        """Close the run."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        try:
            self._track(lambda client: client.set_terminated(self._run_id, status))
        finally:
            self._open = self._client = None
        return status

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close as failed what an asset left open: without `run` its error came before the end."""
        if self._open is not None:
            self.close_run("FAILED")

    @property
    def _run_id(self) -> str:
        return self._open.id if self._open else ""

    def _create(self, client: "MlflowClient", context: dg.AssetExecutionContext) -> TrackedRun:
        self._probe()
        experiment = self._experiment_id(client)
        asset = context.asset_key.to_user_string()
        _close_abandoned(client, experiment, asset, context)
        made = client.create_run(experiment, tags=origin.tags(context), run_name=asset)
        run_id, base = made.info.run_id, _without_login(self.tracking_uri).rstrip("/")
        if not self._is_server:
            return TrackedRun(run_id, place=base)
        return TrackedRun(run_id, f"{base}/#/experiments/{experiment}/runs/{run_id}?{VIEW}")

    @property
    def _is_server(self) -> bool:
        return self.tracking_uri.startswith(("http://", "https://"))

    def _sample(self, run_id: str) -> Any:  # noqa: ANN401 - MLflow has no types here
        """Log the machine's load to a run while it is open, in a thread of its own."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
            run_id, sampling_interval=SAMPLE_SECONDS, tracking_uri=self.tracking_uri
        )
        monitor.start()  # type: ignore[no-untyped-call]
        return monitor

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import RestException

        if (found := client.get_experiment_by_name(self.experiment)) is None:
            try:
                return client.create_experiment(self.experiment, self._artifacts)
            except RestException:  # another run was quicker
                found = client.get_experiment_by_name(self.experiment)
        if found is None or found.lifecycle_stage != "active":
            raise dg.Failure(
                f"The MLflow experiment {self.experiment!r} is deleted: restore it, or set "
                "MLFLOW_EXPERIMENT to another.",
                allow_retries=False,
            )
        return found.experiment_id

    @property
    def _artifacts(self) -> str | None:
        """Beside a SQLite file; MLflow's own choice is `mlruns` in the current directory."""
        if not self.tracking_uri.startswith(SQLITE):
            return None
        return (
            Path(self.tracking_uri.removeprefix(SQLITE)).absolute().parent / "artifacts"
        ).as_uri()

    def _probe(self) -> None:
        """Ask the server whether it is well, once: the client itself would try for minutes."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        if self._is_server:
            server = get_default_host_creds(self.tracking_uri)  # type: ignore[no-untyped-call]
            http_request(  # type: ignore[no-untyped-call]
                server, "/health", "GET", max_retries=0, timeout=PROBE_SECONDS
            )

    def _connect(self) -> "MlflowClient":
        if not self.tracking_uri:
            raise dg.Failure(
                "MLFLOW_USE_TRACKING is set and MLFLOW_TRACKING_URI is not: set it to the address "
                "of an MLflow server, or unset both.",
                allow_retries=False,
            )
        if re.match(r"file:|(?!databricks)[^:]*$", self.tracking_uri):
            path = Path(self.tracking_uri.removeprefix("file:")).absolute()
            raise dg.Failure(
                f"MLFLOW_TRACKING_URI is {self.tracking_uri}, and MLflow keeps no runs in "
                f"directories any more: set it to {SQLITE}{path / 'mlflow.db'}, or to a server.",
                allow_retries=False,
            )
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise dg.Failure(
                "MLFLOW_USE_TRACKING is set, but MLflow's client cannot be imported "
                f"({error}): install mlflow-skinny, or unset MLFLOW_USE_TRACKING.",
                allow_retries=False,
            ) from error
        return MlflowClient(self.tracking_uri)

    def _track[T](self, call: "Callable[[MlflowClient], T]") -> T | None:
        """What a call returns; None once the server does not answer."""
        if self._client is None:
            raise dg.DagsterInvariantViolationError("No MLflow run is open: call start_run first.")
        if self._degraded:
            return None
        from mlflow.exceptions import MlflowException

        try:
            return call(self._client)
        except MlflowException as error:
            if not _is_silence(error):
                raise
            self._degrade(error)
            return None

    def _degrade(self, error: Exception) -> None:
        address, why = _without_login(self.tracking_uri), _without_login(str(error))
        said = f"MLflow does not answer at {address} (MLFLOW_TRACKING_URI): {why}."
        if self.unreachable == "fail":
            raise dg.Failure(
                f"{said} Start it, or set DAGMA_MLFLOW_UNREACHABLE=stub to go on without tracking."
            ) from error
        self._degraded = True
        self._log(f"{said} This asset goes on without tracking (DAGMA_MLFLOW_UNREACHABLE=stub).")


def _without_login(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _is_silence(error: Exception) -> bool:
    """Whether no usable answer came, as opposed to an answer that refuses the request."""
    from mlflow.exceptions import RestException

    return not isinstance(error, RestException) and (
        getattr(error, "error_code", "") == "INTERNAL_ERROR"
    )


def _close_abandoned(
    client: "MlflowClient", experiment: str, asset: str, context: dg.AssetExecutionContext
) -> None:
    """Close runs of this asset that a killed process could not close.

    Only those of Dagster runs that this instance knows to be over.
    """
    still_open = f"attributes.status = 'RUNNING' AND tags.`{DAGSTER_ASSET}` = '{asset}'"
    for run in client.search_runs([experiment], still_open):
        dagster_run = context.instance.get_run_by_id(run.data.tags.get(DAGSTER_RUN_ID, ""))
        if dagster_run is not None and dagster_run.is_finished:
            client.set_terminated(run.info.run_id, "KILLED")
            context.log.info(f"The MLflow run {run.info.run_id} of a killed run is closed.")
