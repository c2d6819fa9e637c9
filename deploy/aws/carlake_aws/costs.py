"""What a lake costs a month at a rate of events, item by item, next to the design that it replaces: by one file of prices."""

from __future__ import annotations

from dataclasses import dataclass

from carlake_aws.parameters import Parameters
from carlake_aws.prices import Prices

DAYS = 30
_DAY_SECONDS = 86_400
_GB, _TB = 1e9, 1e12


@dataclass(frozen=True)
class Item:
    """One line: what for, what it comes to in a month, and how it was reckoned."""

    what: str
    usd: float
    how: str
    page: str


@dataclass(frozen=True)
class Bill:
    """A month."""

    items: tuple[Item, ...]
    million_events: float

    @property
    def usd(self) -> float:
        """All items."""
        return sum(item.usd for item in self.items)

    @property
    def per_million(self) -> float:
        """US dollars for each million events."""
        return self.usd / self.million_events


@dataclass(frozen=True)
class Costs:
    """Both designs at one rate, and what the same events cost as one backfill on either service."""

    events_per_day: int
    region: str
    date: str
    read: str
    lake: Bill
    replaced: Bill
    backfill: dict[str, Bill]


def costs(parameters: Parameters, events_per_day: int, prices: Prices) -> Costs:
    """What a month costs. `events_per_day` is at least 1."""
    million = events_per_day * DAYS / 1e6
    return Costs(
        events_per_day,
        prices.region,
        prices.date,
        prices.read,
        Bill(tuple(_lake(parameters, events_per_day, prices)), million),
        Bill(tuple(_replaced(events_per_day, prices)), million),
        backfills(million, prices, parameters.backfill_workers),
    )


def calls_per_day(objects: float, parameters: Parameters) -> float:
    """How often the function is called: the service gathers messages for a while from the first, up to a number."""
    gathered = 1 + objects / _DAY_SECONDS * parameters.batch_seconds
    return objects / min(gathered, parameters.batch_messages)


def _lake(own: Parameters, events: int, prices: Prices) -> list[Item]:
    work, lake, asked = prices.workload, prices.lake, _Asked(prices)
    objects = events / work["events_per_object"]
    calls = calls_per_day(objects, own)
    seconds = calls * lake["call_seconds"] + events * lake["event_seconds"]
    upkeep = 1440 / own.listing_minutes + 1440 / own.maintenance_minutes + 1
    upkeep_seconds = upkeep * lake["maintenance_seconds"]
    gb, disk_gb = own.function_memory_mb / 1024, max(own.function_disk_mb - 512, 0) / 1024
    # An archived object is copied, and its version in landing deleted (which is free).
    writes = calls * lake["call_s3_writes"] + upkeep * lake["maintenance_s3_writes"] + 2 * objects
    reads = calls * lake["call_s3_reads"] + upkeep * lake["maintenance_s3_reads"] + 3 * objects
    kept_gb = events * DAYS * (lake["stored_bytes_per_event"] + work["event_bytes"]) / _GB
    return [
        asked("functions: time", (seconds + upkeep_seconds) * DAYS * gb, "lambda_gb_second", 1,
              f"({calls:,.0f} calls of intake a day, {seconds / calls:.2f} s each; {upkeep:,.0f} of maintenance, "
              f"{lake['maintenance_seconds']:.0f} s) x {gb:.2f} GB"),
        asked("functions: disk", (seconds + upkeep_seconds) * DAYS * disk_gb, "lambda_disk_gb_second", 1,
              f"the same seconds x {disk_gb:.1f} GB"),
        asked("functions: calls", (calls + upkeep) * DAYS, "lambda_million_calls", 1e6, f"{calls + upkeep:,.0f} a day"),
        asked("queue", objects * 3 * DAYS + lake["poll_requests_per_month"], "sqs_million_requests", 1e6,
              f"{objects:,.0f} messages a day, 3 requests each, and {lake['poll_requests_per_month']:,.0f} polls a month"),
        asked("storage: writes", writes * DAYS, "s3_thousand_writes", 1e3,
              f"{lake['call_s3_writes']:.0f} a call of intake, 2 an object"),
        asked("storage: reads", reads * DAYS, "s3_thousand_reads", 1e3,
              f"{lake['call_s3_reads']:.0f} a call of intake, 3 an object"),
        asked("storage: one month's events", kept_gb, "s3_gb_month", 1,
              f"{lake['stored_bytes_per_event']:.0f} bytes an event in tables, {work['event_bytes']:.0f} in the archive"),
        asked("catalog", (calls + upkeep) * lake["call_glue_requests"] * DAYS, "glue_million_requests", 1e6,
              f"{lake['call_glue_requests']:.0f} requests a call"),
        asked("key", 1, "kms_key_month", 1, "one"),
        asked("key: requests", (writes + reads) * DAYS / 100 + calls * 2 * DAYS, "kms_ten_thousand_requests", 1e4,
              "one for a hundred requests of the buckets, which keep keys of their own; two a call for the queue"),
        asked("queries", work["queries_per_day"] * DAYS * max(work["query_mb"], 10) * 1e6 / _TB, "athena_tb", 1,
              f"{work['queries_per_day']:.0f} a day, {work['query_mb']:.0f} MB each"),
        asked("logs", (calls + upkeep) * DAYS * lake["call_log_kb"] / 1e6, "logs_gb", 1,
              f"{lake['call_log_kb']:.0f} kB a call"),
        asked("traces", (calls + upkeep) * DAYS, "xray_million_traces", 1e6, "each call"),
        asked("metrics", lake["metrics"], "metric_month", 1, f"{lake['metrics']:.0f}"),
        asked("alarms", lake["alarms"], "alarm_month", 1, f"{lake['alarms']:.0f}"),
        asked("dashboard", 1, "dashboard_month", 1, "one"),
        asked("schedules", upkeep * DAYS, "scheduler_million_calls", 1e6, f"{upkeep:,.0f} calls a day"),
    ]  # fmt: skip


def _replaced(events: int, prices: Prices) -> list[Item]:
    work, old, asked = prices.workload, prices.replaced, _Asked(prices)
    objects, runs = events / work["events_per_object"], old["runs_per_day"]
    crawled = runs * DAYS * old["crawlers"] * old["crawler_dpu"] * max(old["crawler_minutes"], 10) / 60
    ran = runs * DAYS * old["jobs"] * old["job_dpu"] * max(old["job_minutes"], 1) / 60
    kept_gb = events * DAYS * (old["stored_bytes_per_event"] + work["event_bytes"]) / _GB
    return [
        asked("crawlers", crawled, "glue_crawler_dpu_hour", 1,
              f"{runs:.0f} runs a day x {old['crawlers']:.0f} x {old['crawler_dpu']:.0f} DPU x "
              f"{max(old['crawler_minutes'], 10):.0f} minutes"),
        asked("jobs", ran, "glue_dpu_hour", 1,
              f"{runs:.0f} runs a day x {old['jobs']:.0f} x {old['job_dpu']:.0f} DPU x {max(old['job_minutes'], 1):.1f} minutes"),
        asked("function: time", objects * DAYS * old["lambda_seconds"] * old["lambda_gb"], "lambda_gb_second", 1,
              f"{objects:,.0f} calls a day, {old['lambda_seconds']:.0f} s each x {old['lambda_gb']} GB"),
        asked("function: calls", objects * DAYS, "lambda_million_calls", 1e6, f"{objects:,.0f} a day"),
        asked("storage: writes", objects * 2 * DAYS, "s3_thousand_writes", 1e3, "2 an object"),
        asked("storage: reads", objects * (1 + old["crawlers"]) * DAYS, "s3_thousand_reads", 1e3,
              "an object is read by the job and by crawlers, once"),
        asked("storage: one month's events", kept_gb, "s3_gb_month", 1,
              f"{old['stored_bytes_per_event']:.0f} bytes an event in tables, {work['event_bytes']:.0f} as landed"),
        asked("queries", work["queries_per_day"] * DAYS * max(work["query_mb"], 10) * 1e6 / _TB, "athena_tb", 1,
              f"{work['queries_per_day']:.0f} a day, {work['query_mb']:.0f} MB each"),
    ]  # fmt: skip


def backfills(million_events: float, prices: Prices, workers: int) -> dict[str, Bill]:
    """What one backfill of so many events costs on Glue 5 and on EMR Serverless, with the same workers."""
    given, asked = prices.backfill, _Asked(prices)
    busy = million_events / given["million_events_per_worker_hour"]
    hours = max(busy + workers * given["startup_minutes"] / 60, workers / 60)
    how = f"{hours:.2f} hours of a worker: {million_events:g} million events, {workers} workers that take " \
          f"{given['startup_minutes']:g} minutes to come up"  # fmt: skip
    return {
        "glue": Bill((asked("workers", hours, "glue_dpu_hour", 1, how),), million_events),
        "emr-serverless": Bill(
            (
                asked("cores", hours * given["worker_vcpu"], "emr_vcpu_hour", 1, how),
                asked("memory", hours * given["worker_gb"], "emr_gb_hour", 1, how),
            ),
            million_events,
        ),
    }


class _Asked:
    """An item from a quantity and the price of so many."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices.prices

    def __call__(self, what: str, quantity: float, price: str, of: float, how: str) -> Item:
        found = self._prices[price]
        return Item(what, quantity / of * found.usd, how, found.page)
