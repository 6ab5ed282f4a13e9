"""Measure the training of the embedding beside gensim's Word2Vec alone, on a made corpus.

`./nixw develop -c python bench/embedding.py [RECIPES]`; README.md says what the figures mean.
"""

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from gensim.models import Word2Vec

from dagma.defs.embedding.item2vec import NOISE_EXPONENT, Item2VecConfig, train
from dagma.defs.embedding.quality import cross_validate

INGREDIENTS = 3_000
CUISINES = 25
ROUNDS = 3


def corpus(recipes: int) -> list[list[str]]:
    """Recipes of about ten ingredients; each cuisine has its favourites, as a power law."""
    random = np.random.default_rng(7)
    popularity = 1 / np.arange(1, INGREDIENTS + 1) ** 0.9
    taste = random.gamma(0.15, 1, size=(CUISINES, INGREDIENTS)) + 0.01
    names = np.array([f"ingredient {i}" for i in range(INGREDIENTS)])
    made = []
    for _ in range(recipes):
        chances = popularity * taste[random.integers(CUISINES)]
        size = int(np.clip(random.poisson(10), 3, 25))
        made.append(random.choice(names, size, False, chances / chances.sum()).tolist())
    return made


def peer(baskets: list[list[str]], config: Item2VecConfig) -> None:
    """The same model by gensim's defaults for batches, without loss or progress."""
    Word2Vec(
        baskets,
        sg=1,
        vector_size=config.dimensions,
        window=max(map(len, baskets)),
        shrink_windows=False,
        negative=config.negative,
        ns_exponent=NOISE_EXPONENT,
        sample=0,
        min_count=config.min_recipes,
        epochs=config.epochs,
        seed=config.seed,
        workers=1,
    )


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Print the figures."""
    baskets = corpus(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    config = Item2VecConfig()
    few = config.model_copy(update={"epochs": 5})
    rounds = [
        (
            cpu_seconds(lambda: train(baskets, few, lambda epoch, loss: None)),
            cpu_seconds(lambda: peer(baskets, few)),
        )
        for _ in range(ROUNDS)
    ]
    ours, theirs = np.median(rounds, axis=0)
    print(f"{len(baskets)} recipes, {len(set().union(*baskets))} ingredients")
    print(f"cpu seconds per epoch    ours {ours / 5:.2f}  gensim {theirs / 5:.2f}")
    print(f"ratio                    {ours / theirs:.2f}")
    whole = cpu_seconds(lambda: train(baskets, config))
    print(f"all {config.epochs} epochs            {whole:.0f} cpu seconds")
    seconds = time.process_time()
    quality = cross_validate(baskets, config)
    seconds = time.process_time() - seconds
    if quality:
        print(f"check                    {seconds:.0f} cpu seconds, {quality.held_out} ranked")
        print(
            f"mean reciprocal rank     {quality.mrr:.3f}  popularity {quality.popularity_mrr:.3f}"
        )
        print(f"recall at 10             {quality.recall:.3f}  {quality.popularity_recall:.3f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory              {peak:.0f} MB")


if __name__ == "__main__":
    main()
