"""How well an embedding tells what is cooked together, on recipes that it was not trained on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dagma.defs.embedding.item2vec import Basket, Embedding, Item2VecConfig, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDS = 5
#: Held-out ingredients with which no further fold is trained: the standard error is small by then.
ENOUGH = 1_000
TOP = 10


class Quality(NamedTuple):
    """How held-out ingredients were ranked, by the embedding and by popularity alone."""

    held_out: int
    """Ingredients that were ranked."""
    recipes: int
    """Recipes that they are from."""
    mrr: float
    """Mean reciprocal rank by the embedding: 1 when the right one is always first."""
    popularity_mrr: float
    """The same for a list of ingredients by their number of recipes."""
    recall: float
    """Share of held-out ingredients among the first ten."""
    popularity_recall: float
    """The same for popularity."""
    standard_error: float
    """Of `lift`; ingredients of one recipe count as dependent."""

    @property
    def lift(self) -> float:
        """What the embedding adds to popularity, in mean reciprocal rank."""
        return self.mrr - self.popularity_mrr


def cross_validate(baskets: Sequence[Basket], config: Item2VecConfig) -> Quality | None:
    """Train on some recipes and rank ingredients of the others.

    The recipes are shuffled into five folds. Per fold a model is trained on the others; then each
    ingredient of each recipe of the fold is taken out once, and all ingredients are ranked by how
    well they go with the rest of the recipe. Small corpora take all folds; large ones stop at
    1,000 ingredients.

    Args:
        baskets: One per recipe, without repetitions.
        config: The parameters, the same as for the model in question.

    Returns:
        The figures; None when there is nothing to rank.
    """
    import numpy as np

    order = np.random.default_rng(config.seed).permutation(len(baskets))
    ranked: list[NDArray[np.float64]] = []
    for fold in range(FOLDS):
        held_out = set(order[fold::FOLDS].tolist())
        model = train([b for i, b in enumerate(baskets) if i not in held_out], config)
        position = {name: i for i, name in enumerate(model.ingredients)}
        for i in sorted(held_out):
            ids = [position[name] for name in baskets[i] if name in position]
            if len(ids) > 1:
                ranked.append(_ranks(model, ids))
        if sum(map(len, ranked)) >= ENOUGH:
            break
    return _summary(ranked) if ranked else None


def _ranks(model: Embedding, ids: list[int]) -> "NDArray[np.float64]":
    """Ranks of each ingredient of a recipe, from 1, by embedding and popularity: shape (len, 2)."""
    import numpy as np

    rows = []
    for target in ids:
        rest = [i for i in ids if i != target]
        candidates = np.ones(len(model.ingredients), dtype=bool)
        candidates[rest] = False
        rows.append([_rank(by, target, candidates) for by in (model.scores(rest), model.recipes)])
    return np.array(rows)


def _rank(
    scores: "NDArray[np.float64] | NDArray[np.int64]", target: int, candidates: "NDArray[np.bool]"
) -> float:
    """The rank of a target; equals share the middle of their ranks."""
    own, others = scores[target], scores[candidates]
    return float(1 + (others > own).sum() + ((others == own).sum() - 1) / 2)


def _summary(ranked: "list[NDArray[np.float64]]") -> Quality:
    import numpy as np

    ranks = np.concatenate(ranked)
    (mrr, popularity_mrr), (recall, popularity_recall) = (1 / ranks).mean(0), (ranks <= TOP).mean(0)
    # A ratio estimate over recipes as clusters.
    lift = mrr - popularity_mrr
    residuals = [(1 / r[:, 0] - 1 / r[:, 1] - lift).sum() for r in ranked]
    return Quality(
        held_out=len(ranks),
        recipes=len(ranked),
        mrr=float(mrr),
        popularity_mrr=float(popularity_mrr),
        recall=float(recall),
        popularity_recall=float(popularity_recall),
        standard_error=float(np.sqrt(np.square(residuals).sum()) / len(ranks)),
    )
