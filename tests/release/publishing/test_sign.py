"""Signatures over a release: whose, over what, and what is said where there is none or nobody can tell."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gates.canonical import canonical_json
from release import pipeline
from release.checking import opening, verify
from release.checking.opening import Known
from release.checking.steps import Step
from release.config.settings import Publishing
from release.judging.released import Released
from release.publishing import sign
from release.values import layout
from release.values.artifacts import Manifest, sha256_file
from release.values.errors import ConfigError, VerificationError
from tests.helpers.hub_cache import as_snapshot
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.reviews import quiet, read_by_people, waiting
from tests.helpers.small_release import edit, read_record, reseal, small_candidate, small_release

SIGNATURE = list(verify.CHECKS).index("the signature covers these files and is by the expected signer")


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> Path:
    """A private key, and beside it the public one as ``.pub``."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    path.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two keys: ``mine`` and ``other``."""
    folder = tmp_path_factory.mktemp("keys")
    write_key(folder / "mine.pem", ec.generate_private_key(ec.SECP256R1()))
    write_key(folder / "other.pem", ec.generate_private_key(ec.SECP384R1()))
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return small_release(folder, publishing={"signing_key": str(keys / "mine.pem")}).folder


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another adapter, made with this very program: everything in it agrees with everything else."""
    return small_release(tmp_path_factory.mktemp("forged"), run={"seed": 7}).folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def signature_step(folder: Path, key: Path | None = None) -> Step:
    """How the step came out, for somebody who trusts a key, or names none."""
    trust = sign.Trust(public_key=key) if key else None
    (step,) = verify.check(
        opening.Opened(release=Released(name="release", folder=folder), trust=trust), [list(verify.CHECKS)[SIGNATURE]]
    )
    return step


def test_a_release_signed_by_the_expected_key_passes_every_step(release: Path, keys: Path) -> None:
    trust = sign.Trust(public_key=keys / "mine.pub")

    steps = verify.check(opening.Opened(release=Released(name="release", folder=release), trust=trust))

    assert {step.outcome for step in steps} == {"ok"}


def test_the_tool_of_the_signatures_own_project_accepts_it(release: Path, keys: Path) -> None:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(release)]
    options = ["--signature", str(release / layout.SIGNATURE), "--public_key", str(keys / "mine.pub")]

    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_signed_release_of_an_earlier_version_is_still_verified() -> None:
    """Its private key is gone; nobody can make it anew."""
    kept = ROOT / "tests" / "data" / "releases"

    assert signature_step(kept / "v2", kept / "keys" / "v2.pub").outcome == "ok"


def test_a_signature_that_nobody_asked_about_is_told_and_is_not_ok(release: Path, keys: Path) -> None:
    step = signature_step(release)

    assert step.outcome == "--"
    assert sha256_file(keys / "mine.pub") in step.unchecked[0]
    assert "--public-key" in step.unchecked[0]


def test_another_key_is_not_the_expected_one(release: Path, keys: Path) -> None:
    assert "Key mismatch" in signature_step(release, keys / "other.pub").problems[0]


def strip(folder: Path) -> None:
    (folder / layout.SIGNATURE).unlink()


def spend_less(folder: Path) -> None:
    reseal(folder, lambda value: value["spent"].update(seconds=1.0))


def forge_signed_list(folder: Path) -> None:
    """The signed list of files made to fit, under the old signature."""
    import base64

    spend_less(folder)
    bundle = json.loads((folder / layout.SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    for one in statement["predicate"]["resources"]:
        one["digest"] = sha256_file(folder / one["name"])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (folder / layout.SIGNATURE).write_text(json.dumps(bundle), "utf-8")


def another_envelope(folder: Path) -> None:
    path = folder / layout.ENVELOPES
    path.write_text("".join(reversed(path.read_text("utf-8").splitlines(keepends=True))), "utf-8")
    reseal(folder)


LIES: dict[str, Callable[[Path], object]] = {
    "a record changed after signing": spend_less,
    "a signed list of files made to fit": forge_signed_list,
    "a signature taken away": strip,
    "a signature that is no JSON": lambda f: (f / layout.SIGNATURE).write_text("signed"),
    "a signature of nothing": lambda f: (f / layout.SIGNATURE).write_text("{}"),
    "an extra file": lambda f: (f / ".gitignore").write_text("*"),
    "envelopes in another order": another_envelope,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_under_a_signature_is_found_by_whoever_has_the_key(lie: str, release: Path, keys: Path) -> None:
    LIES[lie](release)

    assert signature_step(release, keys / "mine.pub").outcome == "FAILED"


def test_files_changed_after_signing_are_noticed_without_the_key(release: Path) -> None:
    spend_less(release)

    assert signature_step(release).problems == (f"{layout.SIGNATURE} covers other files than these",)


def test_an_unsigned_release_is_allowed_and_said(forged: Path) -> None:
    step = signature_step(forged)

    assert (step.outcome, step.problems) == ("--", ())
    assert "unsigned" in step.unchecked[0]


def test_a_release_forged_as_a_whole_is_found_by_key_receipt_and_commit_alone(
    original: Path, forged: Path, keys: Path, tmp_path: Path
) -> None:
    """Somebody puts all of its files in place of these: no step that looks only at the release can tell."""
    receipt = tmp_path / "publication.json"
    digest = Manifest.of_folder(original).digest
    receipt.write_bytes(canonical_json({"commit": "c" * 40, "manifest_digest": digest}))

    verify.verify(str(forged), "file:hub", lambda _: None, Known())

    for known in (Known(receipt=receipt), Known(trust=sign.Trust(public_key=keys / "mine.pub"))):
        with pytest.raises(VerificationError):
            verify.verify(str(forged), "file:hub", lambda _: None, known)
    moved = opening.Opened(release=Released(name="r@t", folder=forged), commit="d" * 40, expected={"commit": "c" * 40})
    assert "the tag was moved" in verify.check(moved)[0].problems[0]


def test_an_old_signature_under_new_files_is_found_by_the_key(
    original: Path, forged: Path, keys: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(forged, tmp_path / "folder"))
    shutil.copyfile(original / layout.SIGNATURE, folder / layout.SIGNATURE)

    assert signature_step(folder, keys / "mine.pub").outcome == "FAILED"
    assert signature_step(folder).outcome == "FAILED"


def test_a_signed_release_kept_as_links_in_the_hub_clients_cache_can_be_checked(release: Path, keys: Path) -> None:
    as_snapshot(release)

    assert signature_step(release, keys / "mine.pub").outcome == "ok"


def without_the_extra(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command where OpenSSL's module cannot be imported, as after `pip install model-signing` alone."""
    code = "import sys; sys.modules['OpenSSL'] = None; from release.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


def test_without_the_extra_a_signature_is_not_checked_and_asking_for_it_is_an_error(release: Path, keys: Path) -> None:
    told = without_the_extra("verify", str(release), cwd=release.parent)
    asked = without_the_extra("verify", str(release), "--public-key", str(keys / "mine.pub"), cwd=release.parent)

    assert told.returncode == 0, told.stderr
    assert f"{SIGNATURE + 1}. --" in told.stderr
    assert asked.returncode == ConfigError.exit_code
    assert "pip install 'adapter-release[sign]'" in asked.stderr


def test_a_wrong_key_ends_the_command_with_exit_7(release: Path, keys: Path) -> None:
    done = adapter_release("verify", str(release), "--public-key", str(keys / "other.pub"), cwd=release.parent)

    assert done.returncode == VerificationError.exit_code
    assert f"{SIGNATURE + 1}. FAILED" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--public-key", "none.pub"], "none.pub is not a public key"),
        (["--public-key", "/dev/zero"], "/dev/zero is not a public key in PEM: it has more than 64,000 bytes"),
        (["--public-key", "a.pub", "--identity", "me"], "not allowed with"),
        (["--issuer", "https://issuer.example"], "give --identity too"),
    ],
)
def test_a_question_that_cannot_be_answered_is_a_usage_error(options: list[str], problem: str, release: Path) -> None:
    done = adapter_release("verify", str(release), *options, cwd=release.parent)

    assert done.returncode == ConfigError.exit_code
    assert problem in done.stderr


def test_the_key_is_neither_in_the_release_nor_in_the_run(tmp_path: Path, keys: Path) -> None:
    """Its text is nowhere; where it lies is known to the configuration of this machine alone."""
    small_release(tmp_path / "made", publishing={"signing_key": str(keys / "mine.pem")})
    secret = (keys / "mine.pem").read_bytes().splitlines()[1]

    for path in (tmp_path / "made").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path
            assert path.name in ("config.yaml", "release.yaml") or b"mine.pem" not in path.read_bytes(), path


def test_signing_again_leaves_the_release_as_it_is_and_another_key_does_not(tmp_path: Path, keys: Path) -> None:
    """A run that is started again must find its own release on the Hub; an ECDSA signature is another each time."""
    packed = small_release(tmp_path / "made")
    kept = tmp_path / "kept"
    mine, other = (publishing(keys / name) for name in ("mine.pem", "other.pem"))

    first = sign.sign(packed, mine, kept)
    for name in (layout.SIGNATURE, layout.ENVELOPES):
        (packed.folder / name).unlink()
    again = sign.sign(packed, mine, kept)
    by_other = sign.sign(packed, other, kept)

    assert first.manifest == again.manifest
    assert by_other.manifest != again.manifest
    assert signature_step(packed.folder, keys / "other.pub").outcome == "ok"
    assert sign.payloads(kept / layout.ENVELOPES) == [(packed.folder / name).read_bytes() for name in sign.STATEMENTS]


def publishing(key: Path | None = None, *, keyless: bool = False) -> Publishing:
    return Publishing(hf_repo="a/b", tag="v1", license="mit", signing_key=key, keyless=keyless)


def test_a_key_that_cannot_sign_is_told_before_anything_is_done(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no key")
    write_key(tmp_path / "rsa.pem", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    write_key(tmp_path / "curve.pem", ec.generate_private_key(ec.SECP256K1()))
    for key, told in {
        tmp_path / "none.pem": "cannot be read",
        tmp_path / "text.pem": "not a private key in PEM",
        tmp_path / "rsa.pem": "not a key on one of the curves",
        tmp_path / "curve.pem": "not a key on one of the curves",
        keys / "mine.pub": "not a private key in PEM",
    }.items():
        (problem,) = sign.problems(publishing(key))
        assert told in problem
        assert "openssl ecparam" in problem
    assert sign.problems(publishing(keys / "mine.pem")) == []


def test_an_encrypted_key_needs_its_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()), b"open sesame")

    assert f"set {sign.PASSWORD}" in sign.problems(publishing(key))[0]
    monkeypatch.setenv(sign.PASSWORD, "wrong")
    assert "the password is wrong" in sign.problems(publishing(key))[0]
    monkeypatch.setenv(sign.PASSWORD, "open sesame")
    assert sign.problems(publishing(key)) == []
    packed = sign.sign(small_release(tmp_path / "made"), publishing(key), tmp_path / "kept")
    assert signature_step(packed.folder, key.with_suffix(".pub")).outcome == "ok"


def test_keyless_signing_where_nobody_vouches_for_the_job_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside of CI, and in a GitHub job without the permission; the library alone would open a browser."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert "not a CI job" in sign.problems(publishing(keyless=True))[0]

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"):
        monkeypatch.delenv(name, raising=False)
    (problem,) = sign.problems(publishing(keyless=True))
    assert "id-token: write" in problem


def test_a_release_that_asks_for_a_keyless_signature_stops_before_training(tmp_path: Path) -> None:
    from tests.helpers.line import small_config

    small_config(tmp_path, publishing={"endpoint": "file:hub"}, run={"output_dir": "runs"})

    done = adapter_release("release", "release.yaml", "--keyless", cwd=tmp_path, env={"GITHUB_ACTIONS": ""})

    assert done.returncode == 4, done.stderr
    assert "Keyless signing needs the identity of a CI job" in done.stderr
    assert "Nothing was started" in done.stderr


def test_a_key_in_a_repository_or_open_to_others_is_warned_of(tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    assert list(sign.warnings(publishing(key))) == []

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    key.chmod(0o644)

    told = list(sign.warnings(publishing(key)))
    assert "lies in the git work tree" in told[0]
    assert "chmod 600" in told[1]


def test_the_record_lists_all_but_itself_and_what_is_signed(read: Path) -> None:
    listed = read_record(read)["files"].keys()
    there = {path.relative_to(read).as_posix() for path in read.rglob("*") if path.is_file()}

    assert (
        there - listed
        == set(layout.UNLISTED)
        == {
            layout.RECORD,
            layout.SIGNATURE,
            layout.ENVELOPES,
            layout.SIGNED_REVIEW,
        }
    )


def test_a_signed_record_says_nothing_of_how_it_is_signed(release: Path) -> None:
    """Whoever makes the adapter again has another key, or none."""
    settings = read_record(release)["config"]["publishing"]

    assert not {"signing_key", "keyless"} & settings.keys()
    assert layout.PROVENANCE in read_record(release)["files"]


def test_a_statement_swapped_under_its_envelope_is_noticed(release: Path) -> None:
    edit(release / layout.TEST_RESULT, lambda value: value["predicate"].update(result="FAILED"))
    steps = verify.check(opening.Opened(release=Released(name="release", folder=release)))

    problems = steps[SIGNATURE - 1].problems
    assert any("does not agree with record and verdict" in problem for problem in problems)
    assert any("holds other statements" in problem for problem in problems)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A signed release that people read."""
    folder = tmp_path_factory.mktemp("read")
    loaded, _, run = waiting(folder, publishing={"signing_key": str(keys / "mine.pem")})
    read_by_people(run)
    candidate, run = small_candidate(loaded)
    return sign.sign(pipeline.accept(loaded, candidate, run, quiet), loaded.publishing, run).folder


REVIEWS: dict[str, tuple[Callable[[Path, Path], object], str, str]] = {
    "its own": (lambda _folder, _keys: None, "ok", ""),
    "none": (lambda folder, _: (folder / layout.SIGNED_REVIEW).unlink(), "--", "has no signature of its own"),
    "another key's": (
        lambda folder, keys: sign._write_envelopes(
            [(folder / layout.REVIEW).read_bytes()], "a type", keys / "other.pem", folder / layout.SIGNED_REVIEW
        ),
        "FAILED",
        "is signed by another key than",
    ),
    "of another review": (
        lambda folder, keys: sign._write_envelopes([b"{}"], "a type", keys / "mine.pem", folder / layout.SIGNED_REVIEW),
        "FAILED",
        "holds another review than",
    ),
    "no review beside it": (lambda folder, _: (folder / layout.REVIEW).unlink(), "FAILED", "holds another review than"),
    "no JSON": (lambda folder, _: (folder / layout.SIGNED_REVIEW).write_text("{"), "FAILED", "it cannot be checked"),
    "by nobody": (lambda folder, _: signatures(folder, []), "FAILED", "an envelope that names no key"),
    "by no key": (lambda folder, _: signatures(folder, [{"keyid": "", "sig": ""}]), "FAILED", "that names no key"),
    "by null": (lambda folder, _: signatures(folder, [{"keyid": None, "sig": ""}]), "FAILED", "that names no key"),
    "by a list": (lambda folder, _: signatures(folder, [{"keyid": [], "sig": ""}]), "FAILED", "it cannot be checked"),
    "by no list": (lambda folder, _: signatures(folder, None), "FAILED", "it cannot be checked"),
    "one of two by nobody": (
        lambda folder, _: signatures(folder, [], layout.ENVELOPES, number=1),
        "FAILED",
        "an envelope that names no key",
    ),
    "two of two keys": (
        lambda folder, _: signatures(folder, [{"keyid": "a", "sig": ""}], layout.ENVELOPES, number=1),
        "FAILED",
        "such of several keys",
    ),
    "no envelope": (lambda folder, _: (folder / layout.ENVELOPES).write_text(""), "FAILED", "holds no envelopes"),
}


def signatures(folder: Path, given: object, name: str | None = None, number: int = 0) -> None:
    """An envelope has these signatures; where no file is named, all envelopes of all files."""
    for path in [folder / one for one in sign.ENVELOPED if name in (None, one)]:
        envelopes = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for envelope in envelopes if name is None else [envelopes[number]]:
            envelope["signatures"] = given
        path.write_text("".join(json.dumps(one) + "\n" for one in envelopes), "utf-8")


def test_of_envelopes_an_identity_says_nothing(read: Path) -> None:
    """They are made with a key: whoever gives an identity hears of each that it was not looked at."""
    release, key = Released(name="release", folder=read), read / "any.pub"

    told = [one.why for one in verify._envelopes(release, sign.Trust(identity="a@example.org"))]

    assert [one.partition(" is signed with a key, for which no identity vouches")[0] for one in told] == [
        *sign.ENVELOPED
    ]
    assert list(verify._envelopes(release, sign.Trust(public_key=key))) == []


@pytest.mark.parametrize("whose", REVIEWS)
def test_whose_signature_a_review_has_is_seen_without_a_key(read: Path, keys: Path, tmp_path: Path, whose: str) -> None:
    folder = Path(shutil.copytree(read, tmp_path / "release"))
    change, outcome, says = REVIEWS[whose]
    change(folder, keys)

    (step,) = verify.check(
        opening.Opened(release=Released(name="release", folder=folder)),
        [name for name in verify.CHECKS if "people" in name],
    )

    assert step.outcome == outcome, step
    assert says in "\n".join([*step.problems, *step.unchecked])


def test_a_review_of_another_signer_who_calls_himself_this_one_is_found_by_the_key(
    read: Path, keys: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(read, tmp_path / "release"))
    path = folder / layout.SIGNED_REVIEW
    assert signature_step(folder, keys / "mine.pub").outcome == "ok"
    own = json.loads(path.read_bytes())["signatures"][0]["keyid"]
    sign._write_envelopes([(folder / layout.REVIEW).read_bytes()], "a type", keys / "other.pem", path)
    forged = json.loads(path.read_bytes())
    forged["signatures"][0]["keyid"] = own
    path.write_text(json.dumps(forged) + "\n", "utf-8")

    assert f"{layout.SIGNED_REVIEW}:1 is not signed by mine.pub" in signature_step(folder, keys / "mine.pub").problems


def test_a_review_that_is_signed_again_keeps_its_signature(read: Path, keys: Path, tmp_path: Path) -> None:
    kept = tmp_path / layout.SIGNED_REVIEW
    kept.parent.mkdir()
    shutil.copyfile(read / layout.SIGNED_REVIEW, kept)
    sign._write_envelopes([(read / layout.REVIEW).read_bytes()], "a type", keys / "mine.pem", kept)

    assert kept.read_bytes() == (read / layout.SIGNED_REVIEW).read_bytes()
