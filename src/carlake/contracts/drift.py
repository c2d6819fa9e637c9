"""What lands against what contracts name: paths that nobody reads, and how a sample of records would fare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from carlake.contracts.contract import RESERVED_KEY, Contract, ContractSet, Path, text_of
from carlake.contracts.judge import Accepted, judge_text, parse, shown

ELEMENT = "[]"


@dataclass(frozen=True)
class Drift:
    """A landed path that its records' contract does not name: in how many records, and the first value seen."""

    path: str
    count: int
    example: str
    contract: str


@dataclass(frozen=True)
class Outcome:
    """How many records of a sample fare alike. `reason` is empty for accepted ones; `example` is the first's detail."""

    contract: str | None
    reason: str
    count: int
    example: str


def drift(raws: Iterable[str], contracts: ContractSet) -> list[Drift]:
    """The landed paths that no contract names, the most frequent first.

    `raws` are records as landed; those that are not JSON or that no contract recognises are left out, as they are in
    quarantine. A path is counted once a record; elements of a list are `path[]`, of a list at the top level `[]`.
    """
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], str] = {}
    for raw in raws:
        try:
            record = parse(raw)
        except ValueError:
            continue
        contract = contracts.recognise(record) if isinstance(record, dict) else None
        if contract is None:
            continue
        seen = set()
        for path, value in _unnamed(record, contract):
            key = (text_of(path).replace(f".{ELEMENT}", ELEMENT), contract.name)
            if key not in seen:
                seen.add(key)
                counts[key] = counts.get(key, 0) + 1
                if key not in examples:
                    examples[key] = shown(value)
    ordered = sorted(counts, key=lambda key: (-counts[key], key))
    return [Drift(path, counts[path, contract], examples[path, contract], contract) for path, contract in ordered]


def _unnamed(record: dict[str, Any], contract: Contract) -> Iterator[tuple[Path, Any]]:
    """Paths of values (leaves, and objects and lists without any) that the contract does not name."""
    blocks = frozenset(contract.blocks)
    stack: list[tuple[Path, Any]] = [((key,), value) for key, value in record.items() if key != RESERVED_KEY]
    while stack:
        path, value = stack.pop()
        if path in blocks and value is None:
            continue
        if isinstance(value, dict) and value:
            stack.extend(((*path, key), inner) for key, inner in value.items())
        elif isinstance(value, list) and value:
            stack.extend(((*path, ELEMENT), inner) for inner in value)
        elif path not in contract.named and not (path in blocks and value == {}):
            yield path, value


def check(records: Iterable[tuple[str | None, str | None, str | None]], contracts: ContractSet) -> list[Outcome]:
    """How a sample would fare: counts by contract and reason, accepted first, then the most frequent.

    `records` are (raw, reason, detail) of each record: `reason` and `detail` are set where the splitter has already
    refused it, `raw` is None where the record is not text.
    """
    counts: dict[tuple[str | None, str], int] = {}
    examples: dict[tuple[str | None, str], str] = {}
    for raw, reason, detail in records:
        key: tuple[str | None, str]
        if reason is not None or raw is None:
            key, example = (None, reason or "not_json"), detail or ""
        else:
            verdict = judge_text(raw, contracts)
            if isinstance(verdict, Accepted):
                key, example = (verdict.contract, ""), ""
            else:
                key, example = (verdict.contract, verdict.reason), verdict.detail
        counts[key] = counts.get(key, 0) + 1
        examples.setdefault(key, example)
    ordered = sorted(counts, key=lambda key: (key[1] != "", -counts[key], key[0] or "", key[1]))
    return [
        Outcome(contract, reason, counts[contract, reason], examples[contract, reason]) for contract, reason in ordered
    ]
