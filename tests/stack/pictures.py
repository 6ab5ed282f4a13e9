"""The pictures of README and docs: each is taken of a page once it shows what it is to show."""

from collections.abc import Callable
from dataclasses import dataclass

from browser import Page
from live_stack import LiveStack

#: Of one picture at most: a README of four is loaded in a moment.
BYTES = 150_000


@dataclass(frozen=True)
class Shown:
    """A stack on which everything has been materialized by one run."""

    stack: LiveStack
    run_id: str
    #: Asset -> its group.
    assets: dict[str, str]

    def dagster(self, path: str) -> str:
        return f"http://127.0.0.1:{self.stack.ports['DAGSTER_WEBSERVER_PORT']}{path}"

    def mlflow(self, path: str) -> str:
        return f"http://127.0.0.1:{self.stack.ports['MLFLOW_PORT']}{path}"


def lineage(page: Page, shown: Shown) -> bytes:
    """All groups expanded, each asset with its name."""
    groups = ",".join(f"global@global:{group}" for group in sorted(set(shown.assets.values())))
    page.resize(2200, 1900, scale=0.9)  # from this size on no name is shortened
    page.open(shown.dagster(f"/asset-groups?expanded={groups}"))
    page.wait_for_text(*shown.assets, "Materialized")
    return page.still_picture()


def run(page: Page, shown: Shown) -> bytes:
    """The steps of a run, in the order of their dependencies."""
    page.resize(2400, 760, scale=0.7)
    page.open(shown.dagster(f"/runs/{shown.run_id}"))
    page.wait_for_text("RUN_SUCCESS")
    page.press_icon("expand_arrows")
    page.press_icon("gantt_waterfall")
    page.wait_for_text("16 assets", "ingredient_vectors", "dbt_build")
    return page.still_picture()


def embedding(page: Page, shown: Shown) -> bytes:
    """The plot among the metadata of the asset."""
    page.resize(1400, 720)
    page.open(shown.dagster("/assets/ingredient_embedding_model"))
    page.wait_for_text("mlflow_run", "plot")
    page.press("a", "[Show Markdown]")
    page.wait_for("document.querySelector('img[alt=embedding]')?.naturalWidth > 0")
    return page.still_picture()


def mlflow(page: Page, shown: Shown) -> bytes:
    """The runs of the experiment with their metrics."""
    page.resize(2000, 560, scale=0.8)
    page.open(shown.mlflow("/#/experiments/1/runs?workflowType=machine_learning"))
    page.wait_for_text("train_model_stub", "MLflow Assistant")
    page.press("button[aria-label=Close]")  # the assistant, which is not set up
    menu = "[data-testid=column-selection-dropdown]"
    page.press(menu, "Columns")
    for column in ("held_out_mrr", "loss", "dimensions", "epochs", "negative"):
        page.press("[class*=tree-title]", column)
    page.press(menu, "Columns")
    page.wait_for_text("Parameters", "matching runs")
    return page.still_picture()


#: Name of the file -> what takes it.
PICTURES: dict[str, Callable[[Page, Shown], bytes]] = {
    taken.__name__: taken for taken in (lineage, run, embedding, mlflow)
}
