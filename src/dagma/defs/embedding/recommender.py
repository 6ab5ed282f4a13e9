"""The model as MLflow serves it: from a few ingredients to those that go with them.

MLflow copies this file beside the vectors and imports it alone, wherever the model is loaded. So it
knows nothing of the rest of this package, and nothing is pickled.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: How many ingredients are suggested.
SUGGESTED = 10


class Recommender:
    """Ranks ingredients by how well they go with others."""

    def __init__(self, table: "pd.DataFrame") -> None:
        """Take a table with the columns `ingredient`, `vector`, `context` and `log_noise`."""
        import numpy as np

        self.names = table["ingredient"].to_numpy(str)
        self.vectors = np.stack(table["vector"].tolist())
        self.contexts = np.stack(table["context"].tolist())
        self.log_noise = table["log_noise"].to_numpy()
        self.position = {name: i for i, name in enumerate(self.names)}

    def predict(self, model_input: "pd.DataFrame", params: object = None) -> "pd.DataFrame":
        """Suggest ingredients.

        Args:
            model_input: The column `ingredients`, a list of names in each row.
            params: None are known.

        Returns:
            The column `goes_with`, a list of ten names at most, the best first; an empty one where no
            name of the row is known.
        """
        import pandas as pd

        return pd.DataFrame(
            {"goes_with": [self.suggest(row) for row in model_input["ingredients"]]}
        )

    def suggest(self, ingredients: "list[str]") -> "list[str]":
        """The ten ingredients that go best with some others, which are not among them."""
        import numpy as np

        ids = [self.position[name] for name in ingredients if name in self.position]
        if not ids:
            return []
        scores = self.contexts @ self.vectors[ids].mean(axis=0) + self.log_noise
        scores[ids] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(SUGGESTED, len(scores) - len(ids))]
        return [str(name) for name in self.names[best]]


def _load_pyfunc(path: str) -> Recommender:  # what MLflow calls
    import pandas as pd

    return Recommender(pd.read_parquet(Path(path)))
