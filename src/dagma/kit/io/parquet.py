"""DataFrames as Parquet files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, field_validator

from dagma.files import written_whole
from dagma.kit.preview import frame_metadata

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["ParquetFiles", "ParquetIOManager", "write_atomically"]


class ParquetIOManager(dg.ConfigurableIOManagerFactory["ParquetFiles"]):
    """Stores each DataFrame in a Parquet file on the local file system.

    The file of the asset `a/b` is `<base_dir>/a/b.parquet`; a partitioned asset has a folder with a
    file per partition, `<base_dir>/a/b/<partition>.parquet`. An input that spans several partitions
    is a dict, partition -> DataFrame; so it is for an asset without partitions when there is only one.
    """

    base_dir: str | None = Field(
        default=None,
        description="Directory of the files; by default the instance's: $DAGSTER_HOME/storage.",
    )

    @field_validator("base_dir")
    @classmethod
    def _is_local(cls, value: str | None) -> str | None:
        if value and "://" in value:
            raise ValueError(f"{value} is a URL, and Parquet files go to local directories only.")
        return value

    def create_io_manager(self, context: dg.InitResourceContext) -> "ParquetFiles":
        """Make the manager of one run."""
        if self.base_dir:
            return ParquetFiles(Path(self.base_dir))
        assert context.instance, "a run has an instance"
        return ParquetFiles(Path(context.instance.storage_directory()))


class ParquetFiles(dg.UPathIOManager):
    """The files below one directory; see `ParquetIOManager`."""

    extension = ".parquet"

    def __init__(self, base_dir: Path) -> None:
        from upath import UPath

        super().__init__(UPath(base_dir))

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: "UPath") -> None:  # noqa: ANN401 - UPathIOManager's signature
        """Write a DataFrame, whole or not at all.

        Raises:
            TypeError: It is no DataFrame.
        """
        _check_is_frame(context, obj)
        write_atomically(obj, Path(str(path)))

    def load_from_path(self, context: dg.InputContext, path: "UPath") -> Any:  # noqa: ANN401 - UPathIOManager's signature
        """Read the DataFrame back.

        Raises:
            FileNotFoundError: The asset, or this partition of it, was never stored here.
        """
        import pandas as pd

        if not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist: materialize {context.asset_key.to_user_string()} first."
                if context.has_asset_key
                else f"{path} does not exist."
            )
        return pd.read_parquet(Path(str(path)))

    def load_partitions(self, context: dg.InputContext) -> Any:  # noqa: ANN401 - UPathIOManager's signature
        """Read what an input spans: one partition for its like, else a dict, partition -> DataFrame."""
        found = super().load_partitions(context)
        if context.has_partition_key or len(context.asset_partition_keys) != 1:
            return found
        return {} if found is None else {context.asset_partition_keys[0]: found}

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, dg.MetadataValue]:  # noqa: ANN401 - UPathIOManager's signature
        """What the asset's page shows: the number of rows, and the first of them."""
        return frame_metadata(obj)

    def make_safe_partition_path(self, base_path: "UPath", partition: str) -> "UPath":
        """Partition keys come from users: none leaves the asset's folder, no two share a file."""
        return base_path.joinpath(*(_safe(part) for part in partition.split("/")))


def _safe(part: str) -> str:
    escaped = part.replace("%", "%25")
    return escaped.replace(".", "%2E") if set(escaped) <= {"."} and escaped else escaped or "%2F"


def _check_is_frame(context: dg.OutputContext, obj: object) -> None:
    import pandas as pd

    if not isinstance(obj, pd.DataFrame):
        raise TypeError(
            f"The output {context.name} of {context.step_key} is of type {type(obj).__name__}, "
            "and ParquetIOManager stores DataFrames: choose another io_manager_key for it."
        )


def write_atomically(frame: Any, target: Path) -> None:  # noqa: ANN401 - pandas stays unimported
    """Write a DataFrame to a file that readers see whole or not at all.

    Args:
        frame: A pandas DataFrame.
        target: The file; its directory exists.
    """
    with written_whole(target) as file:
        frame.to_parquet(file, engine="pyarrow")
