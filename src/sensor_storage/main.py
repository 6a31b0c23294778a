"""Builds the service in flow order, and decides nothing."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

from sensor_storage.aggregation.files import Parameters
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, Aggregator
from sensor_storage.aggregation.windows import LEVELS
from sensor_storage.clock import SystemClock
from sensor_storage.cold.cleanup import Cleaner, CleanupPolicy
from sensor_storage.cold.connect import Place, azure_address, folder_of, open_store, place_of
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.folding import Day, Folder, Folding, Unfold
from sensor_storage.cold.keepsakes import Keepsakes
from sensor_storage.cold.mark import open_folder
from sensor_storage.cold.removal import Removal, Remover
from sensor_storage.cold.store import ColdStore
from sensor_storage.cold.thaw import Thaw
from sensor_storage.cold.upload import Uploader, UploadPolicy
from sensor_storage.cold_loop import ColdLoop, ColdPolicy
from sensor_storage.config import Settings
from sensor_storage.config.memory import plan_memory
from sensor_storage.consuming import build_decoder, instance_id, layout_of
from sensor_storage.kafka.replay import Replay
from sensor_storage.maintain_loop import MaintainLoop
from sensor_storage.storage.accounts import Accounts
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.set_aside import SetAside
from sensor_storage.storage.settled import Settled
from sensor_storage.storage.staging import Staging

_MICROSECONDS = 1_000_000


def build_replay(settings: Settings, layout: Layout, damaged: Callable[[str], object]) -> Replay:
    """Dead letters → readings, with the settings of now."""
    worker, numbers = f"d{uuid.uuid4().hex[:12]}", count()
    created = int(SystemClock().now() * 1000)
    return Replay(
        layout=layout,
        disk=Disk(layout.root),
        decode=build_decoder(settings).decode,
        names=lambda: StagedName(created, worker, next(numbers), 0),
        compression=settings.storage.parquet_compression,
        damaged=damaged,
    )


def cold_place(settings: Settings) -> Place | None:
    """Where the cold store is, if there is one. Usage when the settings don't say it whole."""
    return place_of(settings.cold)


def store_address(settings: Settings) -> tuple[str, int] | None:
    """Host and port of an Azure cold store; None where there is none, or another cloud's client knows."""
    place = cold_place(settings)
    return azure_address(place) if place else None


def build_store(
    settings: Settings, *, may_create: bool = False, may_mark: bool = False, may_be_new: bool = True
) -> ColdStore | None:
    """The cold store, if there is one; nothing is asked of it yet.

    Whoever writes may create its container where that is allowed, and whoever uploads mark a folder as the store,
    both at the first use. For whoever needs what was uploaded it may not be a new one.
    """
    place = cold_place(settings)
    if place is None:
        return None
    place = replace(place, create_container=place.create_container and may_create)
    return _opened(settings, place, may_mark=may_mark, may_be_new=may_be_new)


def _opened(
    settings: Settings, place: Place, *, may_mark: bool = False, may_be_new: bool = True
) -> ColdStore:
    folder = folder_of(place.url)
    if folder is None:
        return open_store(place)
    return open_folder(folder, layout_of(settings), may_mark=may_mark, may_be_new=may_be_new)


def build_files(settings: Settings, layout: Layout) -> ColdFiles | None:
    """Files wherever they are, if there is a cold store."""
    place = cold_place(settings)
    if place is None:
        return None
    store = _opened(settings, replace(place, create_container=False, timeout=timedelta(seconds=60)))
    return ColdFiles(layout, store, SystemClock(), settings.cold.cache_bytes)


def _files_or_none_cold(settings: Settings, layout: Layout) -> ColdFiles:
    """As `build_files`; without a cold store, files that are here or in the cache."""
    return build_files(settings, layout) or ColdFiles(layout, None, SystemClock(), 0)


def build_unfold(settings: Settings, layout: Layout, catalog: Catalog) -> Unfold:
    """Manifests of folded days → the catalog's tables."""
    return Unfold(catalog, _files_or_none_cold(settings, layout))


def build_uploader(
    settings: Settings,
    layout: Layout,
    catalog: Catalog,
    store: ColdStore,
    stopped: Callable[[], bool] = lambda: False,
) -> Uploader:
    """Files → blobs."""
    cold = settings.cold
    policy = UploadPolicy(
        workers=cold.azure_max_workers,
        retry_delay_seconds=cold.azure_retry_delay.total_seconds(),
        bytes_per_second=cold.upload_bytes_per_second,
        compression=settings.storage.parquet_compression,
        max_rows=plan_memory(settings.service.memory_limit).merge_rows,
        access_tier=cold.azure_access_tier,
    )
    return Uploader(layout, Disk(layout.root), catalog, store, policy, stopped=stopped)


def build_keepsakes(settings: Settings, layout: Layout, catalog: Catalog, store: ColdStore) -> Keepsakes:
    """Ledger, dead letters and safe offsets → blobs."""
    return Keepsakes(layout, catalog, store, instance_id(settings, layout), settings.kafka.consumer_group)


def cleanup_policy(settings: Settings) -> CleanupPolicy:
    """When files may leave."""
    return CleanupPolicy(
        age_days=settings.cleanup.age_days,
        high=settings.storage.disk_high_watermark,
        low=settings.storage.disk_low_watermark,
        full=settings.cleanup.verify == "full",
        without_upload=settings.cleanup.without_upload,
    )


def build_remover(settings: Settings, layout: Layout, catalog: Catalog, staging: Staging) -> Remover:
    """The owner's part of cleanup."""
    gone = cold_place(settings) is None and settings.cleanup.without_upload
    return Remover(layout, Disk(layout.root), catalog, staging, without_upload=gone)


def build_cleaner(
    settings: Settings,
    layout: Layout,
    catalog: Catalog,
    store: ColdStore | None,
    remove: Callable[[Sequence[Removal]], dict[str, str]],
) -> Cleaner:
    """Proven files → nothing."""
    disk = Disk(layout.root)
    return Cleaner(
        layout, catalog, store, cleanup_policy(settings), remove=remove, used_share=disk.used_share
    )


def build_folding(
    settings: Settings,
    layout: Layout,
    catalog: Catalog,
    store: ColdStore,
    fold: Callable[[Sequence[Day]], Sequence[str]],
) -> Folding:
    """Receipts of days that are over → their manifests."""
    return Folding(catalog, store, instance_id(settings, layout), fold)


def build_cold(settings: Settings) -> ColdLoop:
    """The worker beside the cold store."""
    layout = layout_of(settings)
    catalog = Catalog(layout)
    store = build_store(settings, may_create=True, may_mark=True)
    folds = settings.cold.azure_access_tier != "Archive"  # a manifest has to come at once
    return ColdLoop(
        layout=layout,
        clock=SystemClock(),
        catalog=catalog,
        uploader=build_uploader(settings, layout, catalog, store) if store else None,
        keepsakes=build_keepsakes(settings, layout, catalog, store) if store else None,
        cleaner=partial(build_cleaner, settings, layout, catalog, store),
        folding=partial(build_folding, settings, layout, catalog, store) if store and folds else None,
        policy=ColdPolicy(
            upload_interval_seconds=settings.cold.upload_interval.total_seconds(),
            cleanup_interval_seconds=settings.cleanup.interval_hours * 3600,
            seal_grace_seconds=settings.cold.seal_grace.total_seconds(),
            cleanup=settings.cleanup.enabled,
            dry_run=settings.cleanup.dry_run,
            high=settings.storage.disk_high_watermark,
        ),
        settled=build_settled(settings),
        url=store.url if store else "",
        check_store=store.check if isinstance(store, DirectoryStore) else lambda: None,
        used_share=Disk(layout.root).used_share,
    )


def needs_cold_worker(settings: Settings) -> bool:
    """Is there anything to upload or clean up?"""
    cleans = settings.cleanup.enabled and settings.cleanup.without_upload
    return cold_place(settings) is not None or cleans


def build_compactor(settings: Settings, layout: Layout, catalog: Catalog) -> Compactor:
    """Segments → runs → hour files. Without a cold store, an hour that only one has waits."""
    files = _files_or_none_cold(settings, layout)
    memory = plan_memory(settings.service.memory_limit)
    return Compactor(
        layout,
        Disk(layout.root),
        catalog,
        WritePolicy(
            flush_interval_seconds=settings.compact.buffer_flush_interval.total_seconds(),
            open_hour_rewrite_factor=settings.compact.open_hour_rewrite_factor,
            compression=settings.storage.parquet_compression,
            block_rows=memory.merge_rows,
            index_entries=memory.index_entries,
        ),
        name=f"m{uuid.uuid4().hex[:12]}",
        bring_back=Thaw(layout, Disk(layout.root), catalog, files),
    )


def build_aggregator(settings: Settings, layout: Layout, catalog: Catalog) -> Aggregator:
    """Hour files → minutes → hours → days."""
    chosen = settings.aggregate
    numbering = settings.decode.quality_numbering
    judge = judge_by(numbering, uncertain_is_good=chosen.uncertain_is_good)
    files = build_files(settings, layout)
    find = files.find if files else _here
    return Aggregator(
        layout,
        Disk(layout.root),
        catalog,
        LocalHours(layout, judge, find),
        aggregate_policy(settings),
        find=find,
        looking=files.looking if files else nullcontext,
        unfold=build_unfold(settings, layout, catalog),
    )


def _here(path: Path) -> Path:
    """Without a cold store a file is on this disk or nowhere."""
    return path


def aggregate_policy(settings: Settings) -> AggregatePolicy:
    """What aggregates are made, with which parameters, and when."""
    chosen = settings.aggregate
    return AggregatePolicy(
        levels=LEVELS[: len(chosen.aggregation_levels)],
        parameters=Parameters(
            carry_limit_us=round(chosen.carry_limit.total_seconds() * _MICROSECONDS),
            quality_numbering=settings.decode.quality_numbering,
            uncertain_is_good=chosen.uncertain_is_good,
        ),
        settle_seconds=2 * settings.compact.buffer_flush_interval.total_seconds(),
    )


def build_settled(settings: Settings) -> Settled:
    """How far time has passed behind ingest, for one stage."""
    return Settled(SystemClock(), settings.compact.buffer_flush_interval.total_seconds())


def build_maintain(settings: Settings) -> MaintainLoop:
    """Everything behind the segments."""
    layout = layout_of(settings)
    catalog = Catalog(layout)
    compactor = build_compactor(settings, layout, catalog)
    return MaintainLoop(
        layout=layout,
        clock=SystemClock(),
        catalog=catalog,
        compactor=compactor,
        accounts=Accounts(layout),
        aggregator=build_aggregator(settings, layout, catalog),
        remover=build_remover(settings, layout, catalog, compactor.staging),
        settled=build_settled(settings),
        folder=Folder(catalog),
        set_aside=SetAside(layout, Disk(layout.root), catalog, build_unfold(settings, layout, catalog)),
        replay=partial(build_replay, settings, layout),
    )
