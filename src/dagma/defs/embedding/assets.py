"""The embedding of ingredients, tracked in MLflow, with a check of what it is worth."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from dagma.defs.embedding import packaging
from dagma.defs.embedding.item2vec import Embedding, Epoch, Item2VecConfig, train
from dagma.defs.embedding.plot import picture
from dagma.defs.embedding.quality import ENOUGH, Quality, cross_validate
from dagma.defs.embedding.recipes import GROUP
from dagma.kit.frame import DataFrame
from dagma.kit.tracking.mlflow import MlflowResource, TrackedRun

CHECK = "better_than_popularity"
ARTIFACT = "ingredient_vectors.parquet"

# name -> (type, what it holds)
COLUMNS = {
    "ingredient": ("str", "The normalised name."),
    "recipes": ("int64", "In how many recipes it is; the rows are in falling order of it."),
    "vector": ("list[float32]", "Ingredients used alike have near vectors (cosine)."),
    "context": ("list[float32]", "Its product with a vector: how well the two go together."),
}


@dg.asset(
    group_name=GROUP,
    kinds={"python", "gensim", "mlflow"},
    io_manager_key="parquet_io_manager",
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(name, kind, text) for name, (kind, text) in COLUMNS.items()]
        )
    },
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="ingredient_embedding_model",
            blocking=True,
            description="Ranks held-out ingredients better than their popularity does",
        )
    ],
)
def ingredient_embedding_model(
    context: dg.AssetExecutionContext,
    config: Item2VecConfig,
    training_recipes: DataFrame,
    mlflow: MlflowResource,
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """A vector per ingredient, learnt by Item2Vec from which ingredients share a recipe."""
    recipes = training_recipes.groupby(["source", "recipe_id"], sort=False)
    baskets = recipes["ingredient"].agg(list).tolist()
    with mlflow.run(context) as run:
        mlflow.log_params({**config.model_dump(), "recipes": len(baskets)})
        mlflow.log_dataset(training_recipes, "training_recipes", "asset training_recipes")
        embedding = train(baskets, config, _progress(context, mlflow, config.epochs))
        if not embedding.ingredients:
            raise dg.Failure(
                f"No ingredient is in {config.min_recipes} recipes or more: take a larger corpus "
                "(RECIPES_SOURCE), or set min_recipes of ingredient_embedding_model lower.",
                allow_retries=False,
            )
        mlflow.log_param("vocabulary_size", len(embedding.ingredients))
        frame = _frame(embedding)
        _log_artifact(mlflow, frame)
        context.log.info("Training again without some recipes, to rank their ingredients.")
        quality = cross_validate(baskets, config)
        if quality:
            mlflow.log_metric("held_out_mrr", quality.mrr)
            mlflow.log_metric("held_out_popularity_mrr", quality.popularity_mrr)
        check = _check(quality)
        registered = _register(mlflow, run, embedding, bool(check.passed))
    yield dg.Output(
        frame,
        metadata={
            "recipes": len(baskets),
            "plot": dg.MetadataValue.md(picture(embedding)),
            **run.metadata,
            **registered,
        },
    )
    yield check


def _register(
    mlflow: MlflowResource, run: TrackedRun, embedding: Embedding, passed: bool
) -> dict[str, str]:
    """Register the model; the alias moves to it when the check has passed."""
    if not run.is_tracked:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        version = mlflow.register_model(packaging.save(embedding, Path(folder)), packaging.MODEL)
    if passed and version:
        mlflow.set_alias(packaging.MODEL, packaging.ALIAS, version)
    alias = f" @{packaging.ALIAS}" if passed else ""
    return {"mlflow_model": f"{packaging.MODEL} {version}{alias}"} if version else {}


def _progress(context: dg.AssetExecutionContext, mlflow: MlflowResource, epochs: int) -> Epoch:
    """Every epoch's loss to MLflow; a line to the log at most once a second, and for the last."""
    last = time.monotonic()

    def on_epoch(epoch: int, loss: float) -> None:
        nonlocal last
        mlflow.log_metric("loss", loss, step=epoch)
        if epoch == epochs or time.monotonic() - last > 1:
            last = time.monotonic()
            context.log.info(f"Epoch {epoch} of {epochs}: loss {loss:.4f} per pair.")

    return on_epoch


def _frame(embedding: Embedding) -> DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "ingredient": embedding.ingredients,
            "recipes": embedding.recipes,
            "vector": list(embedding.vectors),
            "context": list(embedding.contexts),
        }
    )


def _log_artifact(mlflow: MlflowResource, frame: DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, ARTIFACT)
        frame.to_parquet(path)
        mlflow.log_artifact(path)


def _check(quality: Quality | None) -> dg.AssetCheckResult:
    """Passed when the lift over popularity is more than its standard error, that is no luck.

    On a small corpus a failure is a warning: too little was ranked to hold back the vectors.
    """
    enough = quality is not None and quality.held_out >= ENOUGH
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=quality is not None and quality.lift > quality.standard_error,
        severity=dg.AssetCheckSeverity.ERROR if enough else dg.AssetCheckSeverity.WARN,
        metadata={**quality._asdict(), "lift": quality.lift} if quality else {"held_out": 0},
    )
