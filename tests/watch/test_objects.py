"""What a watch remembers of objects: waits that grow, new versions at once, and nothing of what is gone."""

from __future__ import annotations

from carlake.landing.landed import LandedObject
from carlake.watch.objects import Objects
from lakes import NOON


def landed(name: str, version: str = "v1") -> LandedObject:
    return LandedObject(f"/landing/{name}", 1, NOON, version)


def test_an_object_that_failed_waits_longer_each_time_but_not_for_ever() -> None:
    objects, waits, now = Objects(), [], 100.0
    objects.listed([landed("a")], now)
    for _ in range(20):
        objects.failed(landed("a"), now)
        waits.append(objects.next_try(now) - now)
        assert not objects.may_try(landed("a"), now + waits[-1] * 0.9)
        now += waits[-1]
        assert objects.may_try(landed("a"), now)
    assert [round(wait, 3) for wait in waits[:4]] == [0.2, 0.4, 0.8, 1.6] and round(waits[-1]) == 300
    assert objects.failing and not objects.soon_tried


def test_an_object_that_changed_is_tried_at_once_and_anew() -> None:
    objects = Objects()
    objects.listed([landed("a")], 0.0)
    for _ in range(5):
        objects.failed(landed("a"), 0.0)
    assert objects.may_try(landed("a", "v2"), 0.0)
    objects.failed(landed("a", "v2"), 0.0)
    assert objects.next_try(0.0) == 0.2 and objects.soon_tried
    objects.took(landed("a", "v2"), stays=False)
    assert not objects.failing and objects.next_try(0.0) == float("inf")


def test_an_object_that_stays_is_fresh_again_only_when_it_changes() -> None:
    objects = Objects()
    assert objects.listed([landed("a")], 0.0) == [landed("a")]
    objects.took(landed("a"), stays=True)
    assert objects.listed([landed("a")], 1.0) == []
    assert objects.listed([landed("a", "v2")], 2.0) == [landed("a", "v2")]
    assert objects.seen(landed("a")) == 0.0


def test_what_is_gone_is_forgotten() -> None:
    objects = Objects()
    objects.listed([landed("a"), landed("b")], 0.0)
    objects.took(landed("a"), stays=True)
    objects.failed(landed("b"), 0.0)
    assert len(objects) == 2
    objects.listed([], 1.0)
    assert len(objects) == 0 and not objects.failing
