"""Signatures: OpenSSF model-signing over every file of a release; DSSE envelopes around its statements and its review.

By a key file, offline; or keyless through Sigstore, where a CI system vouches for its jobs. The libraries are the
optional extra ``sign``. A private key is read where it lies: it is never copied, logged or recorded.
"""

import base64
import hashlib
import importlib.util
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.config.settings import Publishing
from release.running import environment
from release.values import bounded, bounds, layout
from release.values.artifacts import Manifest, Package, write_atomically
from release.values.errors import ConfigError

STATEMENTS = (layout.TEST_RESULT, layout.PROVENANCE)
ENVELOPED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    layout.ENVELOPES: ("application/vnd.in-toto+json", STATEMENTS),
    layout.SIGNED_REVIEW: ("application/vnd.adapter-release.review+json", (layout.REVIEW,)),
}
"""The files of envelopes: the type of what they hold, and which files that are."""
GITHUB = "https://token.actions.githubusercontent.com"
PASSWORD = "ADAPTER_RELEASE_SIGNING_PASSWORD"  # noqa: S105  the variable's name
MISSING = "Signatures need the extra `sign`: pip install 'adapter-release[sign]', or `make setup-sign` in a checkout."
MAKE_A_KEY = "Make one with: openssl ecparam -genkey -name prime256v1 -noout -out KEY"
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # what model-signing takes
NOT_THE_RELEASE = (".cache", ".git")  # what git and the Hub's client put beside a release
_NEEDED = ("model_signing", "OpenSSL", "securesystemslib", "sigstore")  # model-signing 1.1.1 does not declare OpenSSL


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whose signature is required: that of a key, or of an identity that an issuer vouches for."""

    public_key: Path | None = None
    identity: str | None = None
    issuer: str = GITHUB


def wanted(publishing: Publishing) -> bool:
    return publishing.keyless or publishing.signing_key is not None


def problems(publishing: Publishing) -> list[str]:
    """What would keep a release from being signed, found before any work is done."""
    if not wanted(publishing):
        return []
    try:
        _need_the_extra()
        _private_key(publishing.signing_key) if publishing.signing_key else _ambient_identity()
    except ConfigError as error:
        return list(error.problems)
    return []


def warnings(publishing: Publishing) -> Iterator[str]:
    """Where a private key lies as it should not."""
    key = publishing.signing_key
    if key is None or not key.is_file():
        return
    if top := environment.git(key.parent, "rev-parse", "--show-toplevel"):
        tree = Path(top).name
        yield f"the signing key {key.name} lies in the git work tree {tree}: keep it outside any repository"
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"other users of this machine can read the signing key {key.name}: chmod 600 it"


def sign(packed: Package, publishing: Publishing, kept: Path) -> Package:
    """The package, signed as a whole; where there is a key, its statements and its review in envelopes too.

    Those that the folder ``kept`` holds for these bytes are used again: a signature has a random number in it, and
    a new one would make another release of the same bytes.
    """
    if not wanted(publishing):
        return packed
    _need_the_extra()
    (kept / layout.ENVELOPES).parent.mkdir(parents=True, exist_ok=True)
    for name, (payload_type, signed) in ENVELOPED.items():
        if publishing.signing_key and all((packed.folder / one).exists() for one in signed):
            payloads_of = [(packed.folder / one).read_bytes() for one in signed]
            _write_envelopes(payloads_of, payload_type, publishing.signing_key, kept / name)
            write_atomically(packed.folder / name, (kept / name).read_bytes())
    signature = kept / layout.SIGNATURE
    manifest = Manifest.of_folder(packed.folder)
    if not (signature.exists() and covers(signature, manifest) and signer(signature) == _own_key(publishing)):
        _make(packed.folder, publishing, signature)
    write_atomically(packed.folder / layout.SIGNATURE, signature.read_bytes())
    return Package(folder=packed.folder, manifest=Manifest.of_folder(packed.folder), candidate=packed.candidate)


def _write_envelopes(contents: list[bytes], payload_type: str, key: Path, kept: Path) -> None:
    """Each of these in a DSSE envelope, one a line, unless ``kept`` holds them by this key."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner(_private_key(key))
    if kept.exists():
        there = _envelopes(kept)
        by_this_key = all(signer.public_key.keyid in one.signatures for one in there)
        if by_this_key and [one.payload for one in there] == contents:
            return
    made = [Envelope(content, payload_type, {}) for content in contents]
    for envelope in made:
        envelope.sign(signer)
    lines = "".join(json.dumps(envelope.to_dict(), sort_keys=True) + "\n" for envelope in made)
    write_atomically(kept, lines.encode())


def _make(folder: Path, publishing: Publishing, signature: Path) -> None:
    from model_signing import signing

    config = signing.Config().set_hashing_config(_hashing())
    if publishing.signing_key:
        _private_key(publishing.signing_key)
        config.use_elliptic_key_signer(private_key=publishing.signing_key, password=_password())
    else:
        _ambient_identity()
        config.use_sigstore_signer(use_ambient_credentials=True)
    temporary = signature.with_name(f".{signature.name}.tmp")
    config.sign(folder, temporary)
    temporary.replace(signature)


def check(folder: Path, trust: Trust) -> Iterator[str]:
    """Why a release's signature is not that of whom ``trust`` names over exactly these bytes; nothing if it is.

    The envelopes in it are made with a key, and only a key tells whether they are by whom they should be.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying
    from sigstore.errors import Error

    config = verifying.Config().set_hashing_config(_hashing())
    if trust.public_key:
        if signer(folder / layout.SIGNATURE) is None:
            yield f"it was signed without a key, so {trust.public_key.name} cannot check it: give --identity"
            return
        config.use_elliptic_key_verifier(public_key=trust.public_key)
    else:
        try:
            config.use_sigstore_verifier(identity=trust.identity, oidc_issuer=trust.issuer)
        except Error as error:
            what = f"{layout.SIGNATURE} cannot be checked: Sigstore's own keys cannot be fetched"
            yield f"{what}: {_why(error)}. Try again with a network"
            return
    try:
        config.verify(folder, folder / layout.SIGNATURE)
    except (ValueError, InvalidSignature, Error) as error:
        yield f"{layout.SIGNATURE} is not valid: {_why(error)}"
    for name in ENVELOPED:
        if trust.public_key and (folder / name).exists():
            yield from _check_envelopes(folder, name, trust.public_key)


def _why(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _check_envelopes(folder: Path, name: str, public_key: Path) -> Iterator[str]:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    key = SSlibKey.from_crypto(load_pem_public_key(bounded.content(public_key, bounds.KEY)))
    for number, envelope in enumerate(_envelopes(folder / name), 1):
        try:
            envelope.verify([key], 1)
        except VerificationError:
            yield f"{name}:{number} is not signed by {public_key.name}"


def trust_problem(trust: Trust) -> str | None:
    """Why nothing can be checked for ``trust`` here; None if it can."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        _need_the_extra()
        if trust.public_key:
            load_pem_public_key(bounded.content(trust.public_key, bounds.KEY))
    except ConfigError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{trust.public_key} is not a public key in PEM: {error}"
    return None


def covers(signature: Path, manifest: Manifest) -> bool:
    """Whether a signature says that it is over these files. Whether that is true, ``check`` says."""
    bundle: Any = bounded.json_object(signature.read_bytes(), layout.SIGNATURE)
    statement: Any = bounded.json_object(base64.b64decode(bundle["dsseEnvelope"]["payload"]), layout.SIGNATURE)
    said = {one["name"]: one["digest"] for one in statement["predicate"]["resources"]}
    return said == {file.path: file.sha256 for file in manifest.files if file.path != layout.SIGNATURE}


def payloads(envelopes: Path) -> list[bytes]:
    """What a file of DSSE envelopes holds, in its order; nothing is proved by reading it."""
    return [base64.b64decode(one["payload"]) for one in _lines(envelopes)]


def key_ids(envelopes: Path) -> set[str]:
    """The keys that each of a file's DSSE envelopes names; whether they signed it, ``check`` says.

    ``ValueError`` where the file holds none, or one that is not named alike by all, or by no key.
    """
    named = [{signature["keyid"] for signature in one["signatures"]} for one in _lines(envelopes)]
    if not all(isinstance(one, str) and one for ids in named for one in ids) or not all(named):
        raise ValueError(f"{envelopes.name} holds an envelope that names no key")
    if not named or any(ids != named[0] for ids in named):
        raise ValueError(f"{envelopes.name} holds no envelopes, or such of several keys")
    return named[0]


def _lines(envelopes: Path) -> list[Any]:
    lines = envelopes.read_text("utf-8").splitlines()
    return [bounded.json_object(line.encode(), envelopes.name) for line in lines]


def signer(signature: Path) -> str | None:
    """The sha256 of the public key that a signature names; None for a keyless one."""
    material: Any = bounded.json_object(signature.read_bytes(), layout.SIGNATURE)["verificationMaterial"]
    hint: str | None = material.get("publicKey", {}).get("hint")
    return hint


def _own_key(publishing: Publishing) -> str | None:
    from cryptography.hazmat.primitives import serialization

    if publishing.signing_key is None:
        return None
    public = _private_key(publishing.signing_key).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _envelopes(path: Path) -> list[Any]:
    from securesystemslib.dsse import Envelope

    return [Envelope.from_dict(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def _hashing() -> Any:
    """Every file but the signature and what is not a part of a release; the Hub's cache keeps a release as links."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[layout.SIGNATURE, *NOT_THE_RELEASE]).set_allow_symlinks(True)


def _need_the_extra() -> None:
    if not all(importlib.util.find_spec(name) for name in _NEEDED):
        raise ConfigError([MISSING])


def _private_key(path: Path) -> Any:
    """The key, or ``ConfigError`` with why it cannot sign; nothing of its content is shown."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), _password())
    except OSError as error:
        raise ConfigError([f"The signing key {path} cannot be read: {error.strerror}. {MAKE_A_KEY}"]) from None
    except TypeError:
        how = f"set {PASSWORD}" if _password() is None else f"unset {PASSWORD}"
        raise ConfigError([f"The signing key {path} and its password do not go together: {how}."]) from None
    except ValueError:
        raise ConfigError([f"{path} is not a private key in PEM, or the password is wrong. {MAKE_A_KEY}"]) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise ConfigError([f"{path} is not a key on one of the curves {', '.join(CURVES)}. {MAKE_A_KEY}"])
    return key


def _password() -> bytes | None:
    return os.environ[PASSWORD].encode() if PASSWORD in os.environ else None


def _ambient_identity() -> None:
    """Refuse where this process has no identity token: the library would open a browser and wait."""
    from sigstore.oidc import IdentityError, detect_credential

    why = "this is not a CI job with an identity token"
    try:
        if detect_credential():
            return
    except IdentityError as error:
        why = str(error)
    advice = "In GitHub Actions give the job `permissions: id-token: write`; elsewhere sign with a key."
    raise ConfigError([f"Keyless signing needs the identity of a CI job: {why}. {advice}"])
