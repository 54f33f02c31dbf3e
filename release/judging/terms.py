"""What a candidate is judged by: golden rows, answer format and policy, as checked here or as a release holds them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release.config.reading import effective
from release.config.settings import Config
from release.data.dataset import Dataset
from release.values import bounded, layout


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Two candidates that are judged by equal terms can be compared gate by gate."""

    golden: Dataset
    contract: gates.Contract
    policy: gates.Policy
    contract_files: Mapping[str, bytes]
    """Contract and answer schema as they are published, by name."""
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
            layout.GOLDEN_ROWS: canonical_json(row_digests(self.golden.rows)),
        }


def agreed(golden: Dataset, contract: gates.Contract, config: Config, policy: gates.Policy) -> Terms:
    """The terms of a configuration."""
    files, required = contract_files(contract, config), required_forms(effective(config)["serving"])
    return Terms(golden=golden, contract=contract, policy=policy, contract_files=files, required_forms=required)


def contract_files(contract: gates.Contract, config: Config) -> dict[str, bytes]:
    """A configuration's contract and answer schema as they are published, by name."""
    written = {**config.contract, "schema": layout.in_run(layout.ANSWER_SCHEMA)}
    return {layout.CONTRACT: canonical_json(written), layout.ANSWER_SCHEMA: canonical_json(contract.schema)}


def read(folder: Path, golden: Dataset, served: object = None) -> Terms:
    """The terms in a release's ``gates/`` or a run folder; ``gates.Invalid`` or ``ValueError`` if they are missing.

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


def required_forms(served: object) -> tuple[str, ...]:
    """The required forms of a ``serving`` section, each without its name, which may change."""
    forms = [one for one in served.values() if isinstance(one, Mapping)] if isinstance(served, Mapping) else []
    left_out = (("max_kl", None),)  # which earlier records do not have
    asked = [
        {key: value for key, value in one.items() if key != "required" and (key, value) not in left_out}
        for one in forms
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
