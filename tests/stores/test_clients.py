"""How stores are reached: endpoints and credentials from settings, from the environment, from AWS's profiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carlake.errors import SettingsError
from carlake.lakehouse import Lakehouse
from carlake.landing.listing import list_landing
from carlake.landing.versions import versions_below
from carlake.settings import Settings
from carlake.storage.clients import forget_clients, leave, options_of, use
from servers.faults import Proxy
from servers.versitygw import ACCESS, REGION, SECRET
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]


@pytest.fixture(autouse=True)
def _no_credentials_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    forget_clients()
    yield
    forget_clients()


def seen(bucket: Bucket, **options: str) -> tuple[list[str], int]:
    """The keys that obstore lists by these options, and how many versions boto3 does."""
    use(options_of(options), [bucket.uri])
    forget_clients()
    try:
        listing = list_landing(f"{bucket.uri}/landing")
        assert listing.unreadable == [], listing.unreadable
        return [landed.uri.rpartition("/")[2] for landed in listing.objects], len(list(versions_below(bucket.uri)))
    finally:
        leave(options_of(options), [bucket.uri])


def test_keys_from_the_environment(bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("landing/a.json", "{}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert seen(bucket, endpoint=proxy.endpoint, region=REGION) == (["a.json"], 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    assert seen(bucket) == (["a.json"], 1)


def test_keys_from_a_profile(bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bucket.put("landing/a.json", "{}")
    wrong = "aws_access_key_id = nobody\naws_secret_access_key = nothing\n"
    right = f"aws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(f"[default]\n{wrong}[fleet]\n{right}")
    there = {"endpoint": proxy.endpoint, "region": REGION}
    assert seen(bucket, profile="fleet", **there) == (["a.json"], 1)
    monkeypatch.setenv("AWS_PROFILE", "fleet")
    assert seen(bucket, **there) == (["a.json"], 1)
    with pytest.raises(SettingsError, match="nobodys") as refused:
        seen(bucket, profile="nobodys", **there)
    assert refused.value.advice


def test_wrong_keys_are_named_and_never_shown(
    bucket: Bucket, proxy: Proxy, lake: Open, options: dict[str, str]
) -> None:
    house = lake(bucket, store_properties={**options, "secret_access_key": "not-the-secret"})
    report = house.run()
    assert report.status == "partial"
    [problem] = report.problems
    assert problem.uri == house.landing and "permission denied" in problem.why and problem.advice
    assert "not-the-secret" not in f"{report}{house.settings!r}"


@pytest.mark.parametrize("value", ["landing", "/srv/landing", "ftp://host/x", "s3://", "s3:///x"])
def test_a_landing_that_is_no_prefix_of_a_store_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="prefix in an object store"):
        Settings(landing=value)


def test_options_that_cannot_be_are_refused() -> None:
    for name, value in (("max_retries", "many"), ("retry_seconds", "-1")):
        with pytest.raises(SettingsError, match=name):
            options_of({name: value})
