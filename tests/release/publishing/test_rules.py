"""The publishing half's own rules: whatever a candidate says of them, the checkout and the options decide."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import gates
from release import two_jobs
from release.judging.released import Released
from release.publishing import rules
from release.values import layout
from release.values.artifacts import sha256_file
from release.values.errors import VerificationError
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import GOLDEN_ROWS, edit
from tests.release.test_two_jobs import HERE, REPO, handed_over, quiet, rules_of

LOOSE = {**gates.DEFAULT_POLICY, "json_parse": {"mode": "point", "target": 0.4}}
SCHEMA = ROOT / "data" / "elements" / "answer.schema.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate's folder, beside the configuration that it was made from."""
    return handed_over(tmp_path_factory.mktemp("made"), licence=True)


@pytest.fixture
def checkout(made: Path, tmp_path: Path) -> Path:
    """What the publishing half has: the configuration, and no candidate."""
    shutil.copy(made.parent / "release.yaml", tmp_path)
    return tmp_path


def other_golden(folder: Path) -> dict[str, Any]:
    """The same rows but one."""
    path = folder / "fewer.jsonl"
    rows = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()[: GOLDEN_ROWS - 1]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return {"data": {"golden_file": str(path)}}


def other_rows(folder: Path) -> dict[str, Any]:
    path = folder / "train.jsonl"
    rows = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()[:100]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return {"data": {"train_file": str(path)}}


def other_schema(folder: Path) -> dict[str, Any]:
    schema = json.loads(SCHEMA.read_bytes())
    schema["properties"]["answer"].pop("minLength", None)
    schema["title"] = "Anything"
    (folder / "schema.json").write_text(json.dumps(schema), "utf-8")
    return {"contract": {"schema": str(folder / "schema.json")}}


def publishing(**changes: Any) -> dict[str, Any]:
    return {"publishing": {**HERE["publishing"], **changes}}


LIES: Mapping[str, tuple[Any, str]] = {
    "repository": (publishing(hf_repo="local/production"), 'hf_repo: the candidate has "local/production"'),
    "tag": (publishing(tag="v9"), 'publishing.tag: the candidate has "v9"'),
    "privacy": (publishing(private=True), "publishing.private: the candidate has true"),
    "allow_unpinned": (publishing(allow_unpinned=True), "publishing.allow_unpinned: the candidate has true"),
    "licence of the adapter": (publishing(license="mit"), 'publishing.license: the candidate has "mit"'),
    "Hub": (publishing(endpoint="http://127.0.0.1:1"), "give --hub http://127.0.0.1:1"),
    "policy": ({"gates": LOOSE}, "json_parse.target: the candidate has 0.4"),
    "reason": ({"gates": LOOSE | {"weaker_because": "so"}}, 'gates.weaker_because: the candidate has "so"'),
    "contract": ({"contract": {"markers": r"\[([0-9]+)\]"}}, "markers: the candidate has"),
    "schema": (other_schema, 'title: the candidate has "Anything"'),
    "golden rows": (other_golden, "sha256 of the golden rows: the candidate has"),
    "training rows": (other_rows, "sha256 of the rows it was trained on: the candidate has"),
    "a form to serve in": ({"serving": {"bare": {"base": "unquantized"}}}, "serving.bare.base: the candidate has"),
    "name": ({"run": {"name": "Better", "output_dir": "runs"}}, 'run.name: the candidate has "Better"'),
    "data gate": ({"data": {"checks": {"secrets": "warning"}}}, "data.checks"),
    "licence of the rows": ({"data": {"license": "cc-by-4.0"}}, "data.license: the candidate has"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_the_checkout_does_not_say_is_refused_and_both_values_are_named(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, lie: str
) -> None:
    settings, says = LIES[lie]
    folder = tmp_path_factory.mktemp("other")
    dist = handed_over(folder, licence=True, **(settings(folder) if callable(settings) else settings))

    with pytest.raises(VerificationError) as stopped:
        rules.check(Released(folder=dist / "package"), rules_of(checkout))

    assert says in str(stopped.value)
    assert "release.yaml says" in str(stopped.value)


def test_all_differences_are_named_at_once(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("other")
    lies = publishing(hf_repo="local/production", tag="v9") | {"gates": LOOSE} | other_golden(folder)
    dist = handed_over(folder, licence=True, **lies)

    with pytest.raises(VerificationError) as stopped:
        two_jobs.publish(dist, checkout / "receipts", rules_of(checkout), quiet)

    assert all(one in str(stopped.value) for one in ("local/production", '"v9"', "json_parse.target", "golden rows"))
    assert {path.name for path in checkout.iterdir()} == {"release.yaml"}


@pytest.mark.parametrize(
    "settings",
    [
        {"training": {"per_device_train_batch_size": 2}, "adapter": {"lora": {"r": 8}}},
        {"run": {"threads": 2, "output_dir": "runs"}, "data": {"max_length": 200}},
        {"budget": {"limit": 20}, "container": {"use": "never"}},
    ],
)
def test_how_the_adapter_is_made_is_left_to_who_makes_it(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, settings: Mapping[str, Any]
) -> None:
    dist = handed_over(tmp_path_factory.mktemp("other"), licence=True, **settings)

    two_jobs.publish(dist, checkout / "receipts", rules_of(checkout), quiet)

    assert (checkout / "hub" / "models" / f"{REPO}.git").is_dir()


def publish(checkout: Path, dist: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return adapter_release("publish", str(dist), *arguments, cwd=checkout, env=environment)


def test_the_tag_that_a_workflow_was_started_with_is_the_tag_that_must_be_there(checkout: Path, made: Path) -> None:
    """As with GITHUB_REF_NAME; `--set` says the same, as the first half was told."""
    done = publish(checkout, made, "--tag", "v9", "--repo", "local/other", "--private")
    assert done.returncode == 7
    assert all(f"publishing.{name}: " in done.stderr for name in ("tag", "hf_repo", "private"))
    assert not (checkout / "hub").exists()
    assert publish(checkout, made, "--set", "publishing.tag=v9").returncode == 7
    assert publish(checkout, made, "--tag", "v0.1.0", "--repo", REPO).returncode == 0


def test_rows_that_are_not_in_the_checkout_are_named_by_their_digest(checkout: Path, made: Path) -> None:
    here = ("--set", "data.golden_file=private.jsonl")
    right, wrong = sha256_file(made / "package" / layout.DATA["golden"]), "0" * 64

    asked = publish(checkout, made, *here)

    assert asked.returncode == 2
    assert "give --golden-sha256" in asked.stderr
    with pytest.raises(VerificationError, match=f'{right}".* says "{wrong} and|{wrong}'):
        rules.check(Released(folder=made / "package"), rules_of(checkout, digests={"golden": wrong}))
    assert publish(checkout, made, *here, "--golden-sha256", right).returncode == 0


def digests_of(package: Path) -> dict[str, str]:
    named = {
        "golden": layout.DATA["golden"],
        "policy": layout.POLICY,
        "contract": layout.CONTRACT,
        "schema": layout.ANSWER_SCHEMA,
    }
    return {f"--{name}-sha256": sha256_file(package / file) for name, file in named.items()}


def test_without_a_configuration_the_options_say_it_all_or_both_ways_are_named(tmp_path: Path, made: Path) -> None:
    options = {"--repo": REPO, "--tag": "v0.1.0", "--hub": "file:hub", **digests_of(made / "package")}

    nothing = publish(tmp_path, made)

    assert nothing.returncode == 2
    assert all(name in nothing.stderr for name in ("--config FILE", *options.keys() - {"--hub"}))
    assert publish(tmp_path, made, *(part for option in options.items() for part in option)).returncode == 0


def given(package: Path, **changes: Any) -> rules.Given:
    """Options that are right for a package, but for the changes."""
    digests = {option[2:].removesuffix("-sha256"): sha256 for option, sha256 in digests_of(package).items()}
    said = {"repo": REPO, "tag": "v0.1.0", "hub": "file:hub", **changes}
    return rules.Given(**said | {"digests": digests | changes.get("digests", {})})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"repo": "local/x"}, 'publishing.hf_repo: the candidate has "local/elements", the options say "local/x"'),
        ({"tag": "v9"}, 'publishing.tag: the candidate has "v0.1.0", the options say "v9"'),
        ({"private": True}, "publishing.private: the candidate has false, the options say true"),
        ({"hub": "http://127.0.0.1:1"}, ""),
        ({"hub": None}, 'publishing.endpoint: the candidate has "file:hub"'),
        *(({"digests": {name: "0" * 64}}, f'the options say "{"0" * 64}"') for name in rules.TERMS),
    ],
)
def test_each_option_must_be_met(made: Path, changes: Mapping[str, Any], says: str) -> None:
    """A Hub that was named takes a candidate that was made for the embedded one."""
    package = made / "package"
    asked = rules.of_options(given(package, **changes))

    if says:
        with pytest.raises(VerificationError) as stopped:
            rules.check(Released(folder=package), asked)
        assert says in str(stopped.value)
    else:
        rules.check(Released(folder=package), asked)


def test_without_a_configuration_a_reason_for_less_is_the_options_to_give_and_nothing_is_unpinned(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lies = publishing(allow_unpinned=True) | {"gates": LOOSE | {"weaker_because": "so"}}
    package = handed_over(tmp_path_factory.mktemp("other"), licence=True, **lies) / "package"

    with pytest.raises(VerificationError, match='weaker_because: the candidate has "so", the options say null'):
        rules.check(Released(folder=package), rules.of_options(given(package)))
    asked = rules.of_options(given(package, weaker_because="so"))
    rules.check(Released(folder=package), asked)
    assert not asked.publishing.allow_unpinned


@pytest.mark.parametrize("typed", ["", "abc", "G" * 64])
def test_a_digest_that_is_none_is_a_usage_error(tmp_path: Path, made: Path, typed: str) -> None:
    done = publish(tmp_path, made, "--golden-sha256", typed)

    assert done.returncode == 2
    assert "is not a sha256" in done.stderr


def test_a_record_that_its_own_configuration_does_not_fit_is_refused(checkout: Path, made: Path) -> None:
    """The control of the digests: a policy file that was replaced is found before the rules are looked at."""
    dist = Path(shutil.copytree(made, checkout / "dist"))
    edit(dist / "package" / layout.POLICY, lambda policy: policy["json_parse"].update(target=0.1))

    with pytest.raises(VerificationError, match=r"different: package/gates/policy\.json"):
        two_jobs.publish(dist, checkout / "receipts", rules_of(checkout), quiet)
