"""Pictures of the embedding, for the metadata of materializations."""

import base64
import io
from typing import TYPE_CHECKING

from dagma.defs.embedding.item2vec import Embedding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHOWN = 40
#: Similarity from which on the green is too dark for black letters.
DARK = 0.6


def picture(embedding: Embedding) -> str:
    """Draw the most frequent ingredients on the first two principal components of their vectors.

    Returns:
        A PNG of about 40 kB as a Markdown image that needs no other file.
    """
    # Not pyplot: it keeps every figure, and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = embedding.ingredients[:SHOWN]
    points = _principal_components(embedding.vectors[:SHOWN])
    figure = Figure(figsize=(8, 6), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=embedding.recipes[:SHOWN], alpha=0.4)
    for name, (x, y) in zip(names, points, strict=True):
        axes.annotate(name, (x, y), fontsize=8)
    axes.set_title(f"The {len(names)} most frequent ingredients; near each other = used alike")
    axes.set_xticks([])
    axes.set_yticks([])
    return _image(figure, "embedding")


def _principal_components(vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Shape (n, 2): directions first; a length says more about how frequent an ingredient is."""
    import numpy as np

    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = directions - directions.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    points: NDArray[np.float32] = centred @ axes[:2].T
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def neighbours(frame: "pd.DataFrame") -> str:
    """Draw what is nearest to each ingredient: a row each, the nearer the darker.

    Args:
        frame: The columns `ingredient`, `rank`, `neighbour` and `similarity`, at least one row.

    Returns:
        A PNG as a Markdown image that needs no other file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = frame.pivot(index="ingredient", columns="rank")
    wide = wide.loc[frame["ingredient"].unique()]
    near, names = wide["similarity"].to_numpy(float), wide["neighbour"].to_numpy()
    figure = Figure(figsize=(9, 0.3 * len(wide) + 0.8), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(near, cmap="Greens", vmin=0, vmax=1, aspect="auto")
    for row, columns in enumerate(names):
        for column, name in enumerate(columns):
            if isinstance(name, str):  # fewer neighbours than asked for, in a small vocabulary
                dark = "white" if near[row, column] > DARK else "black"
                axes.text(column, row, name, ha="center", va="center", fontsize=8, color=dark)
    axes.set_yticks(range(len(wide)), list(wide.index), fontsize=8)
    axes.set_xticks([])
    axes.set_title("The nearest neighbours, the darker the nearer")
    return _image(figure, "neighbours")


def _image(figure: "Figure", name: str) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return f"![{name}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"
