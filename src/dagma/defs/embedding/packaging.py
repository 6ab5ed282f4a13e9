"""The embedding as an MLflow model, with signature and example."""

from importlib.metadata import version
from pathlib import Path

from dagma.defs.embedding import recommender
from dagma.defs.embedding.item2vec import Embedding

#: Name of the registered model, and the alias of the version that passed the check.
MODEL, ALIAS = "ingredient_embedding", "champion"
#: What the model needs where it is served.
PACKAGES = ("numpy", "pandas", "pyarrow")


def save(embedding: Embedding, folder: Path) -> Path:
    """Write the model in MLflow's format.

    Args:
        embedding: At least one ingredient.
        folder: Where nothing of this name is yet.

    Returns:
        The model's own folder.
    """
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.models import infer_signature

    table = pd.DataFrame(
        {
            "ingredient": embedding.ingredients,
            "vector": list(embedding.vectors),
            "context": list(embedding.contexts),
            "log_noise": embedding.log_noise,
        }
    )
    data = folder / "vectors.parquet"
    table.to_parquet(data)
    example = pd.DataFrame({"ingredients": [embedding.ingredients[:2], embedding.ingredients[:1]]})
    suggested = recommender.Recommender(table).predict(example)
    pyfunc.save_model(
        folder / "model",
        loader_module="recommender",
        code_paths=[str(recommender.__file__)],
        data_path=str(data),
        signature=infer_signature(example, suggested),
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
    )
    return folder / "model"
