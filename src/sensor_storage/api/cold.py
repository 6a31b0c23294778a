"""`/upload/trigger`, `/cleanup/trigger` and `/azure/files`: the cold store, asked for and looked into."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from sensor_storage.api.access import ChangesAllowed
from sensor_storage.api.errors import Problem
from sensor_storage.api.jobs import Job, Jobs, Report, TooManyJobs, no_such_job
from sensor_storage.api.query import invalid
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.store import PAGE, Blob, ColdStore, Page, check_prefix
from sensor_storage.errors import Damaged, Usage
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import ask
from sensor_storage.storage.receipts import Receipt
from sensor_storage.storage.status import read_cold

_MAX_WAIT_SECONDS: Final = 600.0
_HOUR: Final = 3600.0
_FILES: Final = 1000


class Uploaded(BaseModel):
    """What an upload did."""

    uploaded: int = Field(default=0, description="Blobs written.")
    unchanged: int = Field(default=0, description="Files whose content the store had already.")
    merged: int = Field(default=0, description="Blobs that others had written, united with the file.")
    adopted_rows: int = Field(default=0, description="Readings of others that came here by that.")
    bytes: int = 0
    failed: int = Field(default=0, description="Files that are tried again later.")
    postponed: int = Field(default=0, description="Aggregates that wait for what they are made from.")
    waiting: int = Field(default=0, description="Files still in the queue.")
    away: bool = Field(default=False, description="The store did not answer, so the rest was left for later.")
    errors: dict[str, str] = {}


class Verdict(BaseModel):
    """A file that is old enough, and why it goes or stays."""

    file: str
    goes: bool
    because: str


class Cleaned(BaseModel):
    """What a cleanup did, or with `dry_run` would do."""

    dry_run: bool = False
    removed: int = 0
    removed_bytes: int = 0
    kept: dict[str, int] = Field(default={}, description="Files that stay, by reason.")
    files: list[Verdict] = Field(default=[], description="The first thousand verdicts.")
    requests: int = Field(default=0, description="Requests to the cold store.")


class UploadJob(BaseModel):
    """An upload that runs or has ended; look again at `location`."""

    job: int
    state: Literal["running", "done"]
    location: str
    report: Uploaded | None = None


class CleanupJob(BaseModel):
    """A cleanup that runs or has ended; look again at `location`."""

    job: int
    state: Literal["running", "done"]
    location: str
    report: Cleaned | None = None


class Proof(BaseModel):
    """The receipt of a blob: what was uploaded."""

    etag: str
    size_bytes: int
    digest: str
    rows: int
    uploaded: datetime


class CloudFile(BaseModel):
    """One blob. `receipt` is there when this service uploaded it."""

    name: str
    size_bytes: int
    etag: str
    modified: datetime
    tier: str | None = Field(
        default=None,
        description="The access tier, where the store tells it: Azure, asked by key or SAS token.",
    )
    receipt: Proof | None = None


class CloudFiles(BaseModel):
    """A page of blobs in order of their names; `next` is the cursor of the following page."""

    store: str
    files: list[CloudFile]
    next: str | None = None


WaitFor = Annotated[
    float,
    Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end; 0: the job is told at once."),
]


def routes(
    files: ColdFiles, layout: Layout, store: ColdStore | None, changes_allowed: ChangesAllowed
) -> APIRouter:
    """The routes over one data directory and its cold store."""
    router = APIRouter(tags=["cold store"])
    changes = [Depends(changes_allowed)]
    _upload_routes(router, layout, store, changes)
    _cleanup_routes(router, layout, store, changes)
    _file_routes(router, files, store)
    return router


def _upload_routes(router: APIRouter, layout: Layout, store: ColdStore | None, changes: list[Any]) -> None:
    jobs = Jobs(partial(ask, layout, "cold", "upload", timeout_seconds=_HOUR))

    @router.post(
        "/upload/trigger",
        dependencies=changes,
        responses={202: {"model": UploadJob, "description": "It still runs; look at its address."}},
    )
    async def upload(response: Response, wait: WaitFor = 0) -> Uploaded | UploadJob:
        """Upload everything that changed, open hours too: 202 with a job; with `wait` a report."""
        _needs(store)
        job = _start(jobs)
        if await job.wait(wait):
            return Uploaded.model_validate(_report(job, "upload"))
        response.status_code = 202
        told = _upload_job(job)
        response.headers["location"] = told.location
        return told

    @router.get("/upload/trigger/{job}")
    async def upload_job(job: int) -> UploadJob:
        """How far an upload is that was not waited for."""
        return _upload_job(_found(jobs, job))


def _cleanup_routes(router: APIRouter, layout: Layout, store: ColdStore | None, changes: list[Any]) -> None:
    order = partial(ask, layout, "cold", "cleanup", timeout_seconds=_HOUR)
    jobs = {dry: Jobs(partial(order, dry_run=dry)) for dry in (False, True)}

    @router.post(
        "/cleanup/trigger",
        dependencies=changes,
        responses={202: {"model": CleanupJob, "description": "It still runs; look at its address."}},
    )
    async def cleanup(
        response: Response,
        dry_run: Annotated[bool, Query(description="Only tell what would be removed, and why.")] = False,
        wait: WaitFor = 0,
    ) -> Cleaned | CleanupJob:
        """Remove old files that are proven to be in the cold store: 202 with a job; with `wait` a report."""
        if read_cold(layout) is None:
            _needs(store)
        job = _start(jobs[dry_run])
        if await job.wait(wait):
            return Cleaned.model_validate(_report(job, "cleanup"))
        response.status_code = 202
        told = _cleanup_job(job, dry_run=dry_run)
        response.headers["location"] = told.location
        return told

    @router.get("/cleanup/trigger/{job}")
    async def cleanup_job(
        job: int, dry_run: Annotated[bool, Query(description="As it was asked for.")] = False
    ) -> CleanupJob:
        """How far a cleanup is that was not waited for."""
        return _cleanup_job(_found(jobs[dry_run], job), dry_run=dry_run)


def _file_routes(router: APIRouter, cold: ColdFiles, store: ColdStore | None) -> None:
    @router.get(
        "/azure/files",
        response_model=CloudFiles,
        responses={200: {"content": {"application/x-ndjson": {}}, "description": "A page, or lines of all."}},
    )
    def files(
        prefix: Annotated[
            str, Query(description="Only names below this folder, such as `raw/press-1/2024`.")
        ] = "",
        cursor: Annotated[str, Query(description="`next` of the page before.")] = "",
        limit: Annotated[
            int | None,
            Query(ge=1, le=10_000, description="At most so many; 1000 in a page, in a stream all."),
        ] = None,
        stream: Annotated[bool, Query(description="As lines of JSON.")] = False,
    ) -> Any:  # noqa: ANN401 - a page or a stream
        """What is in the cold store, in order of names, with the receipt of each."""
        there = _needs(store)
        folder = _folder(prefix)
        if stream:
            first = there.page(folder, cursor=cursor, limit=PAGE)  # so that a store that is away is an error
            lines = islice(_lines(cold, there, folder, first), limit)
            return StreamingResponse(lines, media_type="application/x-ndjson")
        found: list[Blob] = []
        place: str | None = cursor
        while place is not None and (left := (limit or _FILES) - len(found)) > 0:
            page = there.page(folder, cursor=place, limit=left)
            found, place = found + page.blobs, page.next
        return CloudFiles(store=there.url, files=_with_receipts(cold, found), next=place)


def _folder(prefix: str) -> str:
    try:
        return check_prefix(f"{prefix.strip('/')}/" if prefix.strip("/") else "")
    except Usage as error:
        raise invalid("prefix", error.message, "names are listed without a prefix") from error


def _lines(files: ColdFiles, store: ColdStore, prefix: str, page: Page) -> Iterator[str]:
    """This page's blobs and all behind them."""
    while True:
        for one in _with_receipts(files, page.blobs):  # at once: another thread may ask for the next line
            yield json.dumps(one.model_dump(mode="json")) + "\n"
        if page.next is None:
            return
        page = store.page(prefix, cursor=page.next, limit=PAGE)


def _with_receipts(files: ColdFiles, found: Sequence[Blob]) -> list[CloudFile]:
    with files.looking():
        return [_file(blob, files) for blob in found]


def _file(blob: Blob, files: ColdFiles) -> CloudFile:
    receipt = None
    with suppress(Damaged):  # the manifest of its day; `verify --cold` tells of that
        receipt = files.receipt(blob.name)
    return CloudFile(
        name=blob.name,
        size_bytes=blob.size_bytes,
        etag=blob.etag,
        modified=datetime.fromtimestamp(blob.modified, UTC),
        tier=blob.tier,
        receipt=proof_of(receipt) if receipt else None,
    )


def proof_of(receipt: Receipt) -> Proof:
    """A receipt as it is told."""
    return Proof(
        etag=receipt.etag,
        size_bytes=receipt.size_bytes,
        digest=receipt.digest,
        rows=receipt.rows,
        uploaded=datetime.fromtimestamp(receipt.uploaded_at, UTC),
    )


def _needs(store: ColdStore | None) -> ColdStore:
    if store is None:
        raise Problem(
            409,
            "no-cold-store",
            "There is no cold store",
            "nothing is uploaded, and so nothing is cleaned up",
            hint="set COLD_STORE_URL or AZURE_STORAGE_ACCOUNT and restart",
        )
    return store


def _start(jobs: Jobs) -> Job:
    try:
        return jobs.start()
    except TooManyJobs:
        detail = "several of these run already and this one would only wait behind them"
        raise Problem(429, "busy", "Too many at once", detail, hint="wait for one of them to end") from None


def _found(jobs: Jobs, number: int) -> Job:
    job = jobs.find(number)
    if job is None:
        raise no_such_job(f"no job has the number {number}")
    return job


def _report(job: Job, what: str) -> dict[str, Any]:
    report: Report = job.outcome.result()
    if "error" in report:
        hint = str(report.get("hint", ""))
        raise Problem(503, f"{what}-failed", f"The {what} did not end well", str(report["error"]), hint=hint)
    return dict(report)


def _upload_job(job: Job) -> UploadJob:
    place = f"/upload/trigger/{job.number}"
    if not job.outcome.done():
        return UploadJob(job=job.number, state="running", location=place)
    report = Uploaded.model_validate(_report(job, "upload"))
    return UploadJob(job=job.number, state="done", location=place, report=report)


def _cleanup_job(job: Job, *, dry_run: bool) -> CleanupJob:
    place = f"/cleanup/trigger/{job.number}" + ("?dry_run=true" if dry_run else "")
    if not job.outcome.done():
        return CleanupJob(job=job.number, state="running", location=place)
    report = Cleaned.model_validate(_report(job, "cleanup"))
    return CleanupJob(job=job.number, state="done", location=place, report=report)
