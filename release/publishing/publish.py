"""A package becomes a tagged commit: one commit, downloaded again and checked byte for byte, and the tag last.

It runs in a process of its own (`release.publishing.hub_request`), because a process speaks to one Hub only.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from release.hub import address, client, session
from release.values.artifacts import Attested, Manifest, Package, Publication
from release.values.errors import ConfigError, HubError, VerificationError
from release.values.record import Record

log = logging.getLogger("release.publishing.publish")


def publish(
    package: Package | Attested, *, repo_id: str, tag: str, private: bool, attempt_note: str = ""
) -> Publication:
    """Publish under a tag, or find that an earlier run did: however often it runs, one commit and one tag.

    1. The bytes are read once, and are the manifest's.
    2. The repository is as private as asked.
    3. A tag that exists holds these files, or the run stops: it is never moved. No release that this one was not
       compared with has come in between.
    4. Else the commit of an earlier run is taken up,
    5. else one commit is made, on the main that was read,
    6. and looked for when its answer was lost.
    7. The commit is downloaded and compared with the manifest.
    8. The tag is made on it,
    9. and read back.
    """
    contents = _read(package)
    done = _ensure_repo(repo_id, private=private)
    tagged = client.tags(repo_id).get(tag)
    if tagged is None:
        if isinstance(package, Package):
            _refuse_unseen(repo_id, package.candidate.record)
        commit, how = _find_or_commit(repo_id, tag, contents, package.manifest.digest, attempt_note)
    else:
        commit, how = tagged, "found tag"
        _refuse_other_content(repo_id, tag, commit, contents)
    log.info("%s: commit %s; downloading it to check every byte", how, commit)
    _verify(package, repo_id, commit)
    done += [how, "verified"]
    if tagged is None:
        _tag(repo_id, tag, commit, package.manifest.digest)
        done.append("tagged")
    log.info("%s of %s is commit %s", tag, repo_id, commit)
    return Publication(
        endpoint=session.endpoint(),
        repo_id=repo_id,
        tag=tag,
        commit=commit,
        manifest_digest=package.manifest.digest,
        done=tuple(done),
    )


def check_rights(repo_id: str, *, tag: str, private: bool, manifest_digests: Sequence[str] = ()) -> list[str]:
    """What would stop a publication, found before any work is done and without changing anything; empty when fine.

    A tag that exists is not a problem when its commit carries one of ``manifest_digests``: it is a release from here.
    """
    try:
        return list(_problems(repo_id, tag, private, manifest_digests))
    except HubError as error:
        return [str(error)]


def fetch(repo_id: str, revision: str, destination: Path) -> str:
    """Download a revision's files into a new folder and return its commit; the revision is resolved once.

    Every file is hashed as it comes and compared with the Hub's listing. The folder appears when all of it is right.
    The token stays here unless the Hub answers that there is nothing for anybody to read.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConfigError(
            [f"{destination} is not empty: files are fetched into a new folder. Name another or remove it."]
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        with session.without_token():
            return _fetch(repo_id, revision, destination)
    except session.Refused as refused:
        if refused.status not in session.WANTS_A_TOKEN or not session.has_token():
            raise
    return _fetch(repo_id, revision, destination)


def _fetch(repo_id: str, revision: str, destination: Path) -> str:
    commit = client.resolve(repo_id, revision)
    with TemporaryDirectory(dir=destination.parent, prefix=".fetch-") as scratch:
        files = Path(scratch, "files")
        wrong = client.download(repo_id, commit, list(client.listing(repo_id, commit).values()), files)
        if wrong:
            raise VerificationError(client.not_as_listed(repo_id, commit, wrong))
        files.rename(destination)
    return commit


def _read(package: Package | Attested) -> dict[str, client.Held]:
    """Every file, read once: the bytes compared here are the bytes sent."""
    contents = {file.path: client.hold(package.folder / file.path) for file in package.manifest.files}
    changed = [
        f"{file.path} has sha256 {actual}, expected {file.sha256}"
        for file in package.manifest.files
        if (actual := contents[file.path].sha256) != file.sha256
    ]
    if client.GITATTRIBUTES in contents:
        changed.append(f"{client.GITATTRIBUTES} belongs to the Hub and cannot be released")
    if changed:
        raise VerificationError(
            f"{package.folder} is not the package that was made:\n  "
            + "\n  ".join(changed)
            + "\nNothing was published. Make the package again."
        )
    return contents


def _ensure_repo(repo_id: str, *, private: bool) -> list[str]:
    found = client.repo(repo_id)
    done = []
    if found is None:
        if session.keyless():
            raise HubError(_no_repo_for_keyless(repo_id))
        client.create_repo(repo_id, private=private)
        done.append("created repo")
        found = _repo(repo_id)
    wrong = _wrong_visibility(repo_id, found, private=private)
    if wrong:
        raise HubError(f"{wrong} Nothing was uploaded.")
    log.info("%s: %s at %s", done[0] if done else "found repo", repo_id, session.endpoint())
    return done


def _repo(repo_id: str) -> client.Repo:
    found = client.repo(repo_id)
    if found is None:
        raise HubError(
            f"{session.endpoint()} has no repository {repo_id}, though it was there a moment ago. Run again."
        )
    return found


def _wrong_visibility(repo_id: str, found: client.Repo, *, private: bool) -> str:
    if found.private == private:
        return ""
    asked, actual = ("private", "public") if private else ("public", "private")
    return (
        f"{repo_id} at {session.endpoint()} is {actual}, but release.yaml says {asked}."
        " Change the repository's settings, or publishing.private."
    )


def _refuse_other_content(repo_id: str, tag: str, commit: str, contents: Mapping[str, client.Held]) -> None:
    differences = _differences(client.tree(repo_id, commit), contents)
    if differences:
        raise HubError(
            f"The tag {tag} of {repo_id} exists at commit {commit} and holds another release:\n  "
            + "\n  ".join(differences)
            + "\nA release tag is never moved. Choose another tag in release.yaml and run again."
        )


def _refuse_unseen(repo_id: str, record: Record) -> None:
    """Stop if a tag is there that was not when the release was compared with the previous ones."""
    if record.earlier is None:
        return
    seen = {(one.tag, one.commit) for one in record.earlier.releases}
    if unseen := sorted(client.tags(repo_id).items() - seen):
        names = ", ".join(f"{tag} (commit {commit})" for tag, commit in unseen)
        raise HubError(
            f"{repo_id} now has {names}, which was published after this adapter was evaluated, so they were not "
            "compared. Nothing was uploaded. Run again: nothing is trained again, only compared."
        )


def _find_or_commit(
    repo_id: str, tag: str, contents: Mapping[str, client.Held], digest: str, attempt_note: str
) -> tuple[str, str]:
    """(The release's commit, 'found commit' or 'committed')."""
    found = _find_commit(repo_id, contents, digest)
    if found is not None:
        return found, "found commit"
    head = _repo(repo_id).head
    change = client.Change(
        add=contents,
        delete=tuple(sorted(client.tree(repo_id, head).keys() - contents.keys())),
        parent=head,
        title=f"Release {tag}",
        description=f"{attempt_note}\n\nRelease-Tag: {tag}\n{_trailer(digest)}".lstrip(),
    )
    log.info("committing %d files, %d bytes, on %s", len(contents), sum(one.size for one in contents.values()), head)
    try:
        return client.commit(repo_id, change), "committed"
    except HubError as error:
        # The commit may have landed and only the answer been lost, so the Hub is asked before anything is believed.
        try:
            found = _find_commit(repo_id, contents, digest)
        except HubError:
            raise error from None
        if found is None:
            raise
        return found, "found commit"


def _find_commit(repo_id: str, contents: Mapping[str, client.Held], digest: str) -> str | None:
    """A commit that holds exactly these files: main's head, or one whose message names the manifest."""
    history = client.commits(repo_id)
    named = [commit for commit, message in history if _trailer(digest) in message.splitlines()]
    heads = [commit for commit, _ in history[:1]]
    for commit in dict.fromkeys(heads + named):
        if not _differences(client.tree(repo_id, commit), contents):
            return commit
    return None


def _trailer(digest: str) -> str:
    return f"Release-Manifest: {digest}"


def _differences(listing: Mapping[str, str], contents: Mapping[str, client.Held]) -> list[str]:
    """A line for each file in which a Hub's listing and these contents are not the same."""
    lines = [f"only there: {path}" for path in sorted(listing.keys() - contents.keys())]
    lines += [f"only here: {path}" for path in sorted(contents.keys() - listing.keys())]
    for path in sorted(listing.keys() & contents.keys()):
        actual = contents[path].id_like(listing[path])
        if actual != listing[path]:
            lines.append(f"different: {path} is {actual} here, {listing[path]} there")
    return lines


def _verify(package: Package | Attested, repo_id: str, commit: str) -> None:
    with TemporaryDirectory(prefix="adapter-release-verify-") as scratch:
        files = Path(scratch, "files")
        _fetch(repo_id, commit, files)
        wrong = package.manifest.differences(Manifest.of_folder(files))
    if wrong:
        raise VerificationError(
            f"Commit {commit} of {repo_id} at {session.endpoint()} does not give back what was sent:\n  "
            + "\n  ".join(wrong)
            + "\nNo tag was made. Run again; if that does not help, the Hub's store is damaged: restore it there."
        )


def _tag(repo_id: str, tag: str, commit: str, digest: str) -> None:
    """Make the tag and read it back; whatever the answer was, what the Hub lists afterwards decides."""
    refused: HubError | None = None
    try:
        client.tag(repo_id, tag, commit=commit, message=f"Release {tag}\n\n{_trailer(digest)}")
    except HubError as error:
        refused = error
    at = client.tags(repo_id).get(tag)
    if at is None:
        raise refused or HubError(
            f"{session.endpoint()} took the tag {tag} of {repo_id} but does not list it. Run again."
        )
    if at != commit:
        raise HubError(
            f"The tag {tag} of {repo_id} appeared at commit {at} while this release was at {commit}: somebody else"
            " made it. It was not moved. Choose another tag in release.yaml and run again."
        )


def _problems(repo_id: str, tag: str, private: bool, manifest_digests: Sequence[str]) -> Iterator[str]:
    # A keyless token belongs to no user, so there is nobody to ask about.
    identity = None if session.keyless() else client.whoami()
    found = client.repo(repo_id)
    if identity is not None:
        yield from token_problems(repo_id, identity, exists=found is not None, endpoint=session.endpoint())
    elif found is None:
        yield _no_repo_for_keyless(repo_id)
    if found is None:
        return
    if not client.may_write(repo_id):
        whose = "The keyless token" if identity is None else f"The token of {identity.name}"
        yield f"{whose} may not write to {repo_id}. Set HF_TOKEN to a token of its owner."
    wrong = _wrong_visibility(repo_id, found, private=private)
    if wrong:
        yield wrong
    at = client.tags(repo_id).get(tag)
    if at and not {_trailer(one) for one in manifest_digests} & set(client.message(repo_id, at).splitlines()):
        yield (
            f"The tag {tag} of {repo_id} exists at commit {at}. A release tag is never moved:"
            " choose another in release.yaml."
        )


def _no_repo_for_keyless(repo_id: str) -> str:
    return (
        f"{session.endpoint()} has no {repo_id} that the keyless token may see, and such a token cannot create one."
        " Create it there, add this workflow as its trusted publisher, and set HF_OIDC_RESOURCE to its name."
    )


def token_problems(repo_id: str, identity: client.Identity, *, exists: bool, endpoint: str) -> list[str]:
    """Why a token could not publish here, as far as its owner and role tell.

    A Hub on loopback has one user, who may use every owner's name.
    """
    problems = []
    if identity.role == "read":
        problems.append(f"The token of {identity.name} may only read. Set HF_TOKEN to one that may write.")
    allowed = repo_id.partition("/")[0] in identity.namespaces or not address.Web(url=endpoint).is_public
    if not exists and not allowed:
        theirs = ", ".join(sorted(identity.namespaces))
        problems.append(
            f"{repo_id} does not exist, and the token of {identity.name} can create repositories of {theirs} only."
        )
    return problems
