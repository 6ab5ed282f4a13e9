"""Values as files that are safe to read: tables as Parquet, what JSON can say as JSON, never a pickle.

Loading a pickle runs the code in it, so whoever can plant one, or point a run at one, runs code as the
stack's owner. Neither manager here takes its directory from run config: it is the instance's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagma.files import written_whole
from dagma.kit.io.parquet import ParquetFiles, write_atomically

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Files", "files", "pickles"]

JSON, PARQUET = ".json", ".parquet"


class Files(ParquetFiles):
    """A DataFrame is NAME.parquet; numbers, texts, lists and dicts of them, and None, are NAME.json.

    One value is there at a time: that of the other kind is removed after it.
    """

    extension = ""

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: "UPath") -> None:  # noqa: ANN401 - UPathIOManager's signature
        """Write a value, whole or not at all.

        Raises:
            TypeError: It is none that either kind of file holds.
        """
        target = Path(str(path))
        if _is_frame(obj):
            write_atomically(obj, target.with_name(target.name + PARQUET))
            target.with_name(target.name + JSON).unlink(missing_ok=True)
            return
        text = _as_json(context, obj)
        with written_whole(target.with_name(target.name + JSON)) as file:
            file.write(text.encode())
        target.with_name(target.name + PARQUET).unlink(missing_ok=True)

    def load_from_path(self, context: dg.InputContext, path: "UPath") -> Any:  # noqa: ANN401 - UPathIOManager's signature
        """Read a value back.

        Raises:
            FileNotFoundError: It, or this partition of it, was never stored here.
        """
        file = Path(str(path)).with_name(path.name + JSON)
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8"))
        return super().load_from_path(context, path.with_name(path.name + PARQUET))

    def path_exists(self, path: "UPath") -> bool:
        """Whether there is a value; Dagster asks before it loads a partition."""
        return any(path.with_name(path.name + kind).exists() for kind in (JSON, PARQUET))

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, dg.MetadataValue]:  # noqa: ANN401 - UPathIOManager's signature
        """What the asset's page shows of a table: the number of rows, and the first of them."""
        return super().get_metadata(context, obj) if _is_frame(obj) else {}


def _is_frame(value: object) -> bool:
    return type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas")


def _as_json(context: dg.OutputContext, value: object) -> str:
    """The text; only what is read back as it was, so no tuple, no key that is no text."""
    try:
        text = json.dumps(value)
        same = json.loads(text) == value
    except (TypeError, ValueError, RecursionError):
        same = False
    if same:
        return text
    raise TypeError(
        f"The output {context.name} of {context.step_key} is of type {type(value).__name__} and has "
        "parts that JSON cannot give back: return a DataFrame or numbers, texts, lists and dicts, or "
        "choose another io_manager_key for it."
    )


@dg.io_manager(
    config_schema={}, description="Parquet or JSON files below the instance's storage directory."
)
def files(context: dg.InitResourceContext) -> Files:
    """The manager of one run; run config has nothing to say to it."""
    return Files(_storage(context))


@dg.io_manager(
    config_schema={}, description="Pickles below the instance's storage directory, nowhere else."
)
def pickles(context: dg.InitResourceContext) -> dg.IOManager:
    """Dagster's own manager in that one place, for code that binds none, or needs any Python object."""
    from dagma.instance.dagster_private import PickledObjectFilesystemIOManager

    make: Callable[..., dg.IOManager] = PickledObjectFilesystemIOManager
    return make(base_dir=str(_storage(context)))


def _storage(context: dg.InitResourceContext) -> Path:
    assert context.instance, "a run has an instance"
    return Path(context.instance.storage_directory())
