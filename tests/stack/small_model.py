"""A code location with a small model, made in no time, and the assets that publish one to Qdrant."""

import dagster as dg
import numpy as np
import pandas as pd

from dagma.defs.vectors.assets import ingredient_vectors, similar_ingredients
from dagma.kit.io import resources as io
from dagma.kit.vectors import resources as vectors


class Model(dg.Config):
    """Which model: another seed makes other vectors."""

    seed: int = 0
    ingredients: int = 300


@dg.asset
def ingredient_embedding_model(config: Model) -> pd.DataFrame:
    made = np.random.default_rng(config.seed).standard_normal((config.ingredients, 32))
    return pd.DataFrame(
        {
            "ingredient": [f"ingredient {number}" for number in range(config.ingredients)],
            "recipes": range(config.ingredients, 0, -1),
            "vector": list(made.astype(np.float32)),
        }
    )


defs = dg.Definitions.merge(
    io.resources(),
    vectors.resources(),
    dg.Definitions(
        assets=[ingredient_embedding_model, ingredient_vectors, similar_ingredients],
        resources={"io_manager": dg.FilesystemIOManager()},
        executor=dg.in_process_executor,
    ),
)
