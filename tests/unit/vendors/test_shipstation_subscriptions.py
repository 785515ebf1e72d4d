"""What is ours at ShipStation, what is still to do, and what of a URL may be shown."""

import pytest

from bridge.vendors.shipstation.subscriptions import Subscription, is_ours, masked, plan

HOME = "https://bridge.example.com/webhooks/shipstation"
TOKEN = "a-token-of-the-tests"


def there(
    event: str = "label_created_v2",
    url: str = HOME,
    *,
    token: str | None = TOKEN,
    store: str | None = None,
) -> Subscription:
    headers = (("x-bridge-token", token),) if token else ()
    return Subscription("v2", "se-1", event, url, store=store, headers=headers)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (HOME, HOME),
        (f"{HOME}/{TOKEN}", f"{HOME}/***"),
        (f"{HOME}/plain", f"{HOME}/***"),
        (f"{HOME}/a/b", f"{HOME}/***"),
        (f"{HOME}?token=x", f"{HOME}?***"),
        (f"{HOME}#x", f"{HOME}?***"),
        ("https://user:pw@erp.example.net/hook", "https://erp.example.net/hook"),
        (
            "https://hooks.zapier.com/hooks/catch/123456/abcDEF/",
            "https://hooks.zapier.com/hooks/catch/***/***/",
        ),
        ("https://erp.example.net/v2/in/aVeryLongSecretText", "https://erp.example.net/v2/in/***"),
        ("https://erp.example.net:8443", "https://erp.example.net:8443"),
    ],
)
def test_url_shows_its_host_and_nothing_that_could_be_secret(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_subscription_does_not_show_its_secrets_when_it_is_logged() -> None:
    assert TOKEN not in repr(there(url=f"{HOME}/{TOKEN}"))


@pytest.mark.parametrize(
    "url",
    [HOME, f"{HOME}/", f"{HOME}/{TOKEN}", "https://BRIDGE.example.com:443/webhooks/shipstation"],
)
def test_same_host_and_path_is_ours(url: str) -> None:
    assert is_ours(url, HOME)


@pytest.mark.parametrize(
    "url",
    [
        "https://bridge.example.com",
        f"{HOME}/a/b",
        f"{HOME}s",
        "https://bridge.example.com\\@evil/webhooks/shipstation",
        "",
        "x",
    ],
)
def test_anything_else_is_not(url: str) -> None:
    assert not is_ours(url, HOME)


def test_two_stores_of_ours_are_each_kept_up_to_date() -> None:
    stores = [there(store="1", token="old-token-of-tests"), there(store="2", token=TOKEN)]

    steps = [
        (step.verb, step.subscription.store)
        for step in plan("v2", stores, address=HOME, tokens=[TOKEN])
        if step.subscription
    ]

    assert sorted(steps) == [("keep", "2"), ("update", "1")]


def test_store_that_only_others_cover_gets_its_own() -> None:
    steps = plan("v2", [there(store="1")], address=HOME, tokens=[TOKEN], store="2")

    assert next((step.verb, step.event) for step in steps) == ("create", "label_created_v2")


def test_url_of_somebody_else_for_one_store_does_not_block_all_stores() -> None:
    theirs = there(url="https://erp.example.net/hook", store="7")

    assert (
        next(step.verb for step in plan("v2", [theirs], address=HOME, tokens=[TOKEN])) == "create"
    )
    assert (
        next(step.verb for step in plan("v2", [theirs], address=HOME, tokens=[TOKEN], store="7"))
        == "blocked"
    )


def test_events_that_we_do_not_want_are_no_business_of_ours() -> None:
    steps = plan(
        "v2",
        [there("track_event_v2"), there("batch", "https://erp.example.net/hook")],
        address=HOME,
        tokens=[TOKEN],
    )

    assert {step.verb for step in steps} == {"create"}
