"""What people judged in, queries with their graded pictures out.

Pictures that nobody judged count as irrelevant, as in every collection that was judged in pools: so
a model that no pool was made with is measured too low.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.engine.label_data.judgements import Pair
from sightline.training.datasets.judgements import JudgesVerdict
from sightline.training.evaluation.click_truth import PictureQueries, hot_and_cold
from sightline.training.evaluation.relevance import JudgedPairs
from sightline.training.evaluation.strength import Groups, Mask


def judgements_as_truth(
    verdicts: Mapping[Pair, JudgesVerdict],
    images: Sequence[str],
    *,
    clusters: NDArray[np.int64],
    clicked: Mask,
    usable: Mask,
    asked: NDArray[np.int64],
) -> PictureQueries:
    """Ask by what people judged anything relevant for.

    A mean grade is cut to a whole one: then 4 or more is relevant, as everywhere.

    Args:
        verdicts: of (anchor, image) pairs; those on pictures that are not here are passed over.
        images: (n,) the pictures, all of which are ranked.
        clusters: (n,) the kind of each.
        clicked: (n,) whether training saw clicks on pictures of its kind.
        usable: (n,) whether a picture may be asked by.
        asked: (n,) by how many clicked pairs people did ask by it.
    """
    row = {image: at for at, image in enumerate(images)}
    known = [
        (row[anchor], row[image], verdict)
        for (anchor, image), verdict in verdicts.items()
        if anchor in row and image in row and usable[row[anchor]]
    ]
    anchors = np.unique([at for at, _, verdict in known if verdict.relevant]).astype(np.int32)
    query = {int(at): number for number, at in enumerate(anchors)}
    graded = [(query[at], to, int(verdict.grade)) for at, to, verdict in known if at in query]
    truth = JudgedPairs.of(graded, queries=len(anchors), gallery=len(images), own=anchors)
    slices = hot_and_cold(asked[anchors])
    groups = Groups(clusters=clusters[anchors], clicked=clicked[anchors], slices=slices)
    return PictureQueries(anchors=anchors, truth=truth, groups=groups)
