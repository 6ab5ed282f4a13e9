"""A picture of the embedding, for the metadata of its materialization."""

import base64
import io
from typing import TYPE_CHECKING

from dagma.defs.embedding.item2vec import Embedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN = 40


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
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return f"![embedding](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"


def _principal_components(vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Shape (n, 2): directions first; a length says more about how frequent an ingredient is."""
    import numpy as np

    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = directions - directions.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    points: NDArray[np.float32] = centred @ axes[:2].T
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
