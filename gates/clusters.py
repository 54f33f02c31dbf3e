"""Clusters: one question in several wordings is one observation, right only if every wording was answered rightly.

Counted apart they would prove too much: 40 rows in pairs that go the same way tell as much as 20. Worst member per
cluster keeps the exact bound honest, on the safe side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gates.policy import Policy
from gates.rows import Golden, id_key
from gates.score import Miss, Score, listed


def clusters(golden: Sequence[Golden], policy: Policy) -> Mapping[str, str]:
    """The cluster of each row: what the policy's ``cluster_key`` names in its ``meta``, or the row by itself."""
    key = policy.cluster_key
    return {row.id: row.id if key is None else id_key(row.meta.get(key)) for row in golden}


def cluster_problems(golden: Sequence[Golden], policy: Policy) -> list[str]:
    """Why the rows cannot be clustered as the policy says; empty if they can."""
    key = policy.cluster_key
    without = [row.id for row in golden if key is not None and not is_name(row.meta.get(key))]
    return [f"golden rows without a name in meta.{key}, the policy's cluster_key: {listed(without)}"] if without else []


def is_name(value: object) -> bool:
    """Whether this names a cluster."""
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def clustered(score: Score, cluster: Mapping[str, str]) -> Score:
    """The score of clusters instead of rows."""
    misses: dict[str, Miss] = {}
    for miss in score.misses:
        misses.setdefault(cluster[miss.id], replace(miss, id=cluster[miss.id]))
    counted = dict.fromkeys(cluster[row] for row in score.counted)
    return Score(counted=tuple(counted), misses=tuple(misses.values()), empty=score.empty)
