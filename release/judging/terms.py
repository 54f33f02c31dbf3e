"""What a candidate is judged by: golden rows, answer format and policy, as checked here or as a release holds them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import gates
from gates import pointer
from gates.canonical import Json, canonical_json, digest
from gates.policy import SPENDING
from release.config import forms
from release.config.reading import effective
from release.config.settings import Config
from release.data.dataset import Dataset
from release.judging import attempts
from release.judging.attempts import Entry, GoldenSet
from release.values import bounded, layout


def labels_in_meta(contract: gates.Contract, policy: gates.Policy) -> tuple[str, ...]:
    """Where a row's ``meta`` holds what it is judged by: references, and the name of its cluster."""
    named = [one.reference for one in contract.correctness if one.reference is not None]
    return tuple(dict.fromkeys([*named, *([pointer.write([policy.cluster_key])] if policy.cluster_key else [])]))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Two candidates that are judged by equal terms can be compared gate by gate."""

    golden: Dataset
    contract: gates.Contract
    policy: gates.Policy
    contract_files: Mapping[str, bytes]
    """Contract and answer schema as they are published, by name."""
    tried: Sequence[Entry] = ()
    """What was judged on these rows before. How many attempts that were is in ``policy``."""
    required_forms: Sequence[str] = ()
    """Every form in which it must pass, but the one it was trained in: its settings in one spelling."""

    @cached_property
    def self_test(self) -> gates.SelfTest:
        """Whether reference answers pass these gates and broken ones fail, for a verdict that says so."""
        return gates.self_test(self.golden.rows, self.contract, self.policy)

    def verdict(self, answers: Sequence[gates.Output]) -> gates.Verdict:
        """What these terms make of the answers."""
        return gates.judge(self.golden.rows, answers, self.contract, self.policy, self_test=self.self_test)

    @property
    def contract_sha256(self) -> dict[str, str]:
        """The sha256 of contract and answer schema, by name."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contract_files.items()}

    @property
    def files(self) -> dict[str, bytes]:
        """All but the rows themselves as they are published, by name."""
        return {
            **self.contract_files,
            layout.POLICY: canonical_json(self.policy.as_dict()),
            layout.GOLDEN_ROWS: canonical_json(self._golden_rows),
        }

    @property
    def _golden_rows(self) -> Mapping[str, Json]:
        if self.policy.version < SPENDING:
            return dict(row_digests(self.golden.rows))
        return {name: one.as_dict() for name, one in self.known.items()}

    @cached_property
    def known(self) -> Mapping[str, gates.Known]:
        """By id what the next release knows of a golden row: what is asked, and each label."""
        return {row.id: gates.known(row, self.labels_in_meta) for row in self.golden.rows}

    @property
    def labels_in_meta(self) -> tuple[str, ...]:
        return labels_in_meta(self.contract, self.policy)

    @cached_property
    def golden_set(self) -> GoldenSet:
        """How the ledger of attempts knows the golden set."""
        return attempts.golden_set(self.golden.rows, self.known.values(), self.golden.sha256)

    def attempt(self, adapter_sha256: str, answers_sha256: str) -> str:
        """The digest of an attempt to meet these terms."""
        contract: list[Json] = [[name, sha256] for name, sha256 in sorted(self.contract_sha256.items())]
        asked: list[Json] = [self.policy.digest, contract, self.golden_set.golden_sha256]
        if self.policy.review is not None:  # they read rows that are drawn by tags: with other tags it is another look
            asked.append([[row.id, *sorted(row.tags)] for row in sorted(self.golden.rows, key=lambda row: row.id)])
        return digest([adapter_sha256, answers_sha256, *asked])

    def after(self, tried: Sequence[Entry]) -> "Terms":
        """The same terms for who comes after these."""
        return replace(self, tried=tuple(tried), policy=self.policy.at(attempts.number(tried)))


def agreed(golden: Dataset, contract: gates.Contract, config: Config, policy: gates.Policy) -> Terms:
    """The terms of a configuration."""
    files, required = contract_files(contract, config), required_forms(effective(config)["serving"])
    return Terms(golden=golden, contract=contract, policy=policy, contract_files=files, required_forms=required)


def contract_files(contract: gates.Contract, config: Config) -> dict[str, bytes]:
    """A configuration's contract and answer schema as they are published, by name."""
    written = {**config.contract, "schema": layout.in_run(layout.ANSWER_SCHEMA)}
    return {layout.CONTRACT: canonical_json(written), layout.ANSWER_SCHEMA: canonical_json(contract.schema)}


def read(folder: Path, golden: Dataset, served: object = None) -> Terms:
    """The terms in a release's ``gates/`` or the folder of a run that was judged, in its attempt; as `written` else."""
    found, ledger = written(folder, golden, served), folder / layout.in_run(layout.LEDGER)
    return found.after(_tried(ledger)) if found.policy.version >= SPENDING or ledger.exists() else found


def written(folder: Path, golden: Dataset, served: object = None) -> Terms:
    """The terms that lie there, of a first attempt; ``gates.Invalid`` or ``ValueError`` if they are missing.

    ``served`` is what its configuration has as ``serving``.
    """
    names = (layout.CONTRACT, layout.ANSWER_SCHEMA)
    files = {name: (folder / layout.in_run(name)).read_bytes() for name in names}
    mapping = bounded.json_object(files[layout.CONTRACT], layout.CONTRACT)
    if mapping.get("schema") != layout.in_run(layout.ANSWER_SCHEMA):  # it would be read wherever it is
        raise ValueError(f"{layout.CONTRACT} names another schema than {layout.ANSWER_SCHEMA}")
    policy = bounded.json_object((folder / layout.in_run(layout.POLICY)).read_bytes(), layout.POLICY)
    return Terms(
        golden=golden,
        contract=gates.load_contract(mapping, folder, kept=True),
        policy=gates.load_policy(policy),
        contract_files=files,
        required_forms=required_forms(served),
    )


def _tried(ledger: Path) -> list[Entry]:
    """All of a release's or a run's ledger but its last attempt, which is its own."""
    entries = attempts.parse(ledger.read_bytes(), layout.LEDGER)
    if not entries:
        raise ValueError(f"{layout.LEDGER} does not hold the attempt that was judged")
    return [one for one in entries if one.attempt != entries[-1].attempt]


def required_forms(served: object) -> tuple[str, ...]:
    """The required forms of a ``serving`` section, each without its name, which may change."""
    each = [one for one in served.values() if isinstance(one, Mapping)] if isinstance(served, Mapping) else []
    left_out = ("required", forms.CARDS)
    asked = [
        {key: value for key, value in one.items() if key not in left_out and (key, value) != ("max_kl", None)}
        for one in each
        if one.get("required")
    ]
    return tuple(sorted(json.dumps(one, sort_keys=True) for one in asked))


def covers(forms: Sequence[str], asked: str) -> bool:
    """Whether a form that was required is so again in one of these, as near to its weights as then."""
    wanted = json.loads(asked)
    most = wanted.pop("max_kl", math.inf)
    each = [json.loads(one) for one in forms]
    return any(one.pop("max_kl", math.inf) <= most and one == wanted for one in each)


def row_digests(golden: Sequence[gates.Golden]) -> dict[str, str]:
    """What ``gates/golden_rows.json`` holds: rows without a licence stay here, and can be compared all the same."""
    return {row.id: row.digest for row in golden}
