"""Part of a set of labelled examples held out, the same share of every label, by seed."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from larqnets.errors import LarqnetsError


def held_out(
    numbers: np.ndarray, names: Sequence[str], share: float, seed: int, labels: Sequence[str], what: str
) -> np.ndarray:
    """Return which examples are held out, bool (N,): of the n of a label round(share * n), at least 1 and not all.

    `numbers` (N,) are those of their labels. They are taken by the SHA-256 of seed and name, so that few change sides when
    examples come and go. Examples of one label and name are the same picture and stay on one side, so a label may give a
    few more than its share. Raises LarqnetsError for a label that has fewer than two pictures; `what` is held out.
    """
    out = np.zeros(len(numbers), bool)
    ranks = {name: hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest() for name in set(names)}
    by_label = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[by_label], np.arange(len(labels)), side="right")
    for label, mine in zip(labels, np.split(by_label, ends[:-1]), strict=True):
        copies = Counter(str(names[i]) for i in mine)
        order = sorted(copies, key=lambda name: ranks[name])
        if len(order) < 2:
            same = "1 image" if len(mine) == 1 else f"{len(mine):,} images that are all the same"
            raise LarqnetsError(
                f"The label '{label}' has {same if len(mine) else 'no image'}, but 2 different ones are needed to take "
                f"{what} from it. Add images, or take the label out."
            )
        wanted = max(1, int(share * len(mine) + 0.5))
        taken = np.cumsum([copies[name] for name in order])
        chosen = set(order[: min(int(np.searchsorted(taken, wanted)) + 1, len(order) - 1)])
        out[[i for i in mine if names[i] in chosen]] = True
    return out
