"""Item2Vec: skip-gram with negative sampling over baskets instead of sentences.

After Barkan and Koenigstein, "Item2Vec: Neural Item Embedding for Collaborative Filtering" (2016):
a recipe has no order, so each ingredient is the context of every other one of its recipe.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

type Basket = Sequence[str]
type Epoch = Callable[[int, float], None]

#: Negative samples are drawn by count to this power, word2vec's own default.
NOISE_EXPONENT = 0.75

#: Words per call into gensim's C code, which sums a call's loss in 32 bits.
WORDS_PER_CALL = 1_000


class Item2VecConfig(dg.Config):
    """How the embedding is trained; the same values and table give the same vectors."""

    dimensions: int = Field(default=64, ge=2, le=1024, description="Length of a vector.")
    epochs: int = Field(default=60, ge=1, le=10_000, description="Passes over all recipes.")
    negative: int = Field(default=5, ge=1, le=50, description="Negative samples per pair.")
    learning_rate: float = Field(
        default=0.025, gt=0, le=1, description="At the start; it falls to 0.0001 linearly."
    )
    subsample: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Ingredients of a larger share of all mentions are left out at random, the more "
        "often the larger it is; 0 keeps all, since salt is not noise.",
    )
    min_recipes: int = Field(
        default=2, ge=1, description="Ingredients of fewer recipes get no vector."
    )
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of all random numbers.")


@dataclass(frozen=True)
class Embedding:
    """Vectors of n ingredients, in falling order of the recipes that have them."""

    ingredients: list[str]
    recipes: "NDArray[np.int64]"
    """Shape (n,): in how many recipes an ingredient is."""
    vectors: "NDArray[np.float32]"
    """Shape (n, dimensions): ingredients used alike are near each other."""
    contexts: "NDArray[np.float32]"
    """Shape (n, dimensions): with `vectors` they say what is cooked together, see `scores`."""

    def scores(self, ids: Sequence[int]) -> "NDArray[np.float64]":
        """How well each ingredient goes with some others.

        Args:
            ids: Positions of the others in `ingredients`.

        Returns:
            Shape (n,); the log of a probability, up to a constant. What skip-gram learns is the log
            of P(context | ingredient) over the noise's P(context), so the noise is added again.
        """
        scores: NDArray[np.float64] = (
            self.contexts @ self.vectors[list(ids)].mean(axis=0) + self.log_noise
        )
        return scores

    @property
    def log_noise(self) -> "NDArray[np.float64]":
        """Shape (n,): the log of what negative samples are drawn by, up to a constant."""
        import numpy as np

        logs: NDArray[np.float64] = NOISE_EXPONENT * np.log(self.recipes)
        return logs


def train(
    baskets: Sequence[Basket], config: Item2VecConfig, on_epoch: Epoch | None = None
) -> Embedding:
    """Train the embedding, in one thread: only so is the result the same every time.

    Args:
        baskets: One per recipe, without repetitions.
        config: The parameters.
        on_epoch: Called after each epoch with its number, from 1, and its mean loss per pair, in
            nats. Before anything is learnt that is (1 + negative) * ln 2.

    Returns:
        The ingredients of at least `min_recipes` recipes, maybe none.
    """
    import numpy as np

    model = _model_class()(
        sg=1,
        vector_size=config.dimensions,
        window=max(map(len, baskets), default=1),  # the whole recipe,
        shrink_windows=False,  # always
        negative=config.negative,
        ns_exponent=NOISE_EXPONENT,
        sample=config.subsample,
        min_count=config.min_recipes,
        alpha=config.learning_rate,
        epochs=config.epochs,
        seed=config.seed,
        workers=1,
        batch_words=WORDS_PER_CALL,
    )
    model.build_vocab(baskets)
    known = set(model.wv.key_to_index)
    pairs = sum(n * (n - 1) for n in (len(known & set(basket)) for basket in baskets))
    if pairs:
        model.train(
            baskets,
            total_examples=len(baskets),
            epochs=config.epochs,
            compute_loss=True,
            callbacks=[_epoch_end(pairs, on_epoch)] if on_epoch else (),
        )
    counts = [model.wv.get_vecattr(name, "count") for name in model.wv.index_to_key]
    return Embedding(
        ingredients=list(model.wv.index_to_key),
        recipes=np.array(counts, dtype=np.int64),
        vectors=model.wv.vectors,
        contexts=model.syn1neg,
    )


@cache
def _model_class() -> Any:  # noqa: ANN401 - gensim has no types
    from gensim.models import Word2Vec  # type: ignore[import-untyped]

    class Model(Word2Vec):  # type: ignore[misc]
        """Word2Vec whose loss is exact.

        gensim adds the losses of a whole training up in one 32-bit number, which stops growing when
        it is large. Its C code reads the sum at the start of a call and writes it at the end: here
        each call starts at zero, and the sums of calls are added up in 64 bits.
        """

        loss = 0.0

        @property
        def running_training_loss(self) -> float:
            return 0.0

        @running_training_loss.setter
        def running_training_loss(self, value: float) -> None:
            self.loss += float(value)

    return Model


def _epoch_end(pairs: int, on_epoch: Epoch) -> Any:  # noqa: ANN401
    from gensim.models.callbacks import CallbackAny2Vec  # type: ignore[import-untyped]

    class Callback(CallbackAny2Vec):  # type: ignore[misc]
        epoch = 0

        def on_epoch_end(self, model: Any) -> None:  # noqa: ANN401
            self.epoch += 1
            loss, model.loss = model.loss / pairs, 0.0
            on_epoch(self.epoch, loss)

    return Callback()
