"""A job of Hugging Face Jobs, and the private bucket that it has as a folder: started, watched, ended, taken away.

No secret and no variable of the environment is given to a job: all that it may touch is the bucket that is mounted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import JobInfo, Volume
from huggingface_hub.errors import HfHubHTTPError

from release.hub.client import whoami
from release.hub.download import Listed, need_room
from release.hub.session import Refused, api, asking, listening
from release.values.errors import HubError

LABEL = "adapter-release"
"""The label by which a job is found again."""
START = f"{LABEL}-start"
"""The label that tells one start of it from the others."""
RUNNING = "RUNNING"
AHEAD = ("SCHEDULING", "UPDATING")
"""Stages before it runs; every stage that is not known is one in which it has ended."""
ALIVE = (RUNNING, *AHEAD)
LOGGED = 1 << 30  # bytes that are heard of a job's words in one go
MEMBERS = 1000  # files that a bucket of a job may have
_HOURS = {"second": 3600, "minute": 60, "hour": 1}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A flavor, as the service lists it."""

    about: str
    price_per_hour: float
    """In USD."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A job as it is found."""

    id: str
    start: str
    """Which start of its name it is."""
    stage: str
    message: str
    seconds: float
    """For which it has run."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A job's name, the account that it belongs to, and its bucket."""

    namespace: str
    job: str

    @property
    def bucket(self) -> str:
        return f"{self.namespace}/{LABEL}-{self.job}"


def place(job: str, namespace: str | None) -> Place:
    """Of the token's own account where none is named."""
    return Place(namespace=namespace or whoami().name, job=job)


def machine(flavor: str) -> Machine:
    """What a flavor is and costs; ``HubError`` names those that there are."""
    with asking("Listing the machines of Hugging Face Jobs"):
        listed = {one.name: one for one in api(must_write=True).list_jobs_hardware()}
        if flavor not in listed:
            raise HubError(f"Hugging Face Jobs has no {flavor!r:.60}. It has {', '.join(sorted(listed)):.600}.")
        found = listed[flavor]
        card = found.accelerator
        about = f"{card.quantity} x {card.model}, {card.vram}" if card else f"{found.cpu}, {found.ram}, no card"
        return Machine(about=about, price_per_hour=found.unit_cost_usd * _HOURS[found.unit_label])


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a job is started with."""

    image: str
    command: Sequence[str]
    flavor: str
    seconds: int
    mount: str
    """Where it has its bucket."""


def start(where: Place, order: Order, which: str) -> str:
    """Start a job as one attempt, which the service does not repeat, and say which start it is; its number."""
    with asking("Starting a job"):
        job = api(must_write=True).run_job(
            image=order.image,
            command=list(order.command),
            flavor=order.flavor,
            timeout=order.seconds,
            attempts=1,
            labels={LABEL: where.job, START: which},
            name=f"{LABEL}-{where.job}",
            volumes=[Volume(type="bucket", source=where.bucket, mount_path=order.mount, read_only=False)],
            namespace=where.namespace,
        )
        return str(job.id)


def listed(where: Place) -> list[Seen]:
    """The jobs of this name that the Hub lists, the last that was started last. It comes to list one after a while."""
    with asking("Looking for a job"):
        found = api(must_write=True).list_jobs(labels={LABEL: where.job}, namespace=where.namespace)
        dated = [(one.created_at, one) for one in found if one.created_at]
        return [_seen(job) for _, job in sorted(dated, key=lambda one: one[0])]


def numbered(where: Place, number: str) -> Seen | None:
    """The job of this number, if there is one and it is of this name."""
    with asking("Looking for a job"):
        try:
            job = api(must_write=True).inspect_job(job_id=number, namespace=where.namespace)
        except HfHubHTTPError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            return None
        return _seen(job) if (job.labels or {}).get(LABEL) == where.job else None


def _seen(job: JobInfo) -> Seen:
    ran = job.durations.running_secs if job.durations else None
    return Seen(
        id=job.id,
        start=(job.labels or {}).get(START, ""),
        stage=str(getattr(job.status.stage, "value", job.status.stage)),
        message=job.status.message or "",
        seconds=float(ran or 0),
    )


def log(where: Place, job: str, tail: int | None) -> Iterator[str]:
    """The lines that a job says, of those until now the last so many, until it ends."""
    with listening("Listening to a job", LOGGED):
        said = api(must_write=True).fetch_job_logs(job_id=job, namespace=where.namespace, follow=True, tail=tail)
        yield from map(str, said)


def cancel(where: Place, job: str) -> None:
    with asking("Cancelling a job"):
        api(must_write=True).cancel_job(job_id=job, namespace=where.namespace)


def files(where: Place) -> dict[str, int]:
    """The files of a job's bucket with their sizes in bytes; empty where there is no bucket."""
    found: dict[str, int] = {}
    with asking("Listing a job's bucket"):
        try:
            for one in api(must_write=True).list_bucket_tree(where.bucket, recursive=True):
                if one.type == "file":
                    found[one.path] = one.size
                if len(found) > MEMBERS:
                    says = f"{where.bucket} has more than {MEMBERS:,} files, which no job of this program puts"
                    raise Refused(f"{says}. End it and remove all of it by --end.")
        except HfHubHTTPError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            return {}
    return found


def put(where: Place, added: Mapping[str, Path | bytes], gone: Sequence[str] = ()) -> None:
    """Put files into the bucket, which is made where there is none, and take others away."""
    size = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in added.values())
    with asking("Filling a job's bucket", files=size, number=len(added)):
        hub = api(must_write=True)
        hub.create_bucket(where.bucket, private=True, exist_ok=True)
        if not hub.bucket_info(where.bucket).private:
            raise Refused(f"{where.bucket} is there and everybody can read it. Nothing was put into it. Remove it.")
        hub.batch_bucket_files(where.bucket, add=[(one, name) for name, one in added.items()], delete=list(gone))


def get(where: Place, name: str, size: int, to: Path) -> None:
    """Fetch a file of so many bytes."""
    need_room([Listed(path=name, size=size, id="")], to.parent, where.bucket)
    with asking("Fetching from a job's bucket", files=size, number=1):
        api(must_write=True).download_bucket_files(where.bucket, [(name, to)], raise_on_missing_files=True)
    if to.stat().st_size != size:
        raise HubError(f"{name} of {where.bucket} changed while it was fetched. Type the same command again.")


def remove(where: Place) -> None:
    """Take the bucket away, with all that is in it."""
    with asking("Removing a job's bucket"):
        api(must_write=True).delete_bucket(where.bucket, missing_ok=True)
