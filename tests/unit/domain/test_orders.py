"""References: equal whatever the spelling, and seen inside a longer text as words of their own."""

import re

import pytest

from bridge.domain.orders import is_uuid, likely_references, normalize_reference, reference_words

PATTERN = re.compile(r"^#?PD\d", re.IGNORECASE)


@pytest.mark.parametrize("text", ["PD100/1", "#PD100/1", " pd100/1 ", "# pd100/1"])
def test_reference_is_one_in_any_spelling(text: str) -> None:
    assert normalize_reference(text) == "PD100/1"


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("PD100/1", {"PD100/1"}),
        (" #pd100/1 ", {"PD100/1"}),
        ("ACME-PD100/1", {"PD100/1"}),
        ("Order #PD100/1", {"PD100/1"}),
        ("PD100/1 for Ada", {"PD100/1"}),
        ("PD100/1, PD200/1", {"PD100/1", "PD200/1"}),
        ("PD100/1|PD200", {"PD100/1", "PD200"}),
        ("PD100/1-ACME", {"PD100/1-ACME", "PD100/1"}),
        ("PD100/1 & 2", {"PD100/1", "PD100/2"}),
        ("PD100/1+2", {"PD100/1", "PD100/2"}),
        ("#PD100/1, /2 and /3", {"PD100/1", "PD100/2", "PD100/3"}),
        ("PD100/1, 2026", {"PD100/1"}),
        ("PD 1389447/1", {"PD1389447/1"}),
        ("PD: 100/1", {"PD100/1"}),
        ("Pd-1389447", {"PD1389447"}),
        ("PD#100/1", {"PD100/1"}),
        ("ACMEPD1389447/1", {"PD1389447/1"}),
        ("ＰＤ100／1", {"PD100/1"}),
        ("PD100/1\u200b", {"PD100/1"}),
        ("%23PD100%2F1", {"PD100/1"}),
        ("PD100&#47;1", {"PD100/1"}),
        ("PDX-1001", set()),
        ("PD-1001", set()),
        ("S-PD-2024-11", set()),
        ("PD 15% off", set()),
        ("UPD1389447", set()),
        ("SPD-1389447", set()),
        ("1234PD5678/1", set()),
        ("XPD100/1", set()),
        ("100482", set()),
        ("", set()),
    ],
)
def test_words_that_look_like_a_reference_are_seen_in_a_text(
    text: str, references: set[str]
) -> None:
    assert likely_references(text, PATTERN) == references


def test_pattern_is_the_merchants() -> None:
    loom = re.compile(r"^LOOM-\d", re.IGNORECASE)

    assert likely_references("PD100/1", loom) == frozenset()
    assert likely_references("3PL LOOM-7", loom) == {"LOOM-7"}
    assert likely_references("2026-1234", re.compile(r"^\d")) == {"2026-1234"}
    assert likely_references("LOOM 7", re.compile("^LOOM ")) == {"LOOM 7"}


def test_without_a_pattern_the_whole_text_may_be_a_reference() -> None:
    assert likely_references(" #100482 ", None) == {"100482"}
    assert likely_references("Order PD1/1", None) == {"ORDER PD1/1", "PD1/1"}
    assert likely_references(" ", None) == frozenset()


def test_words_keep_their_spelling() -> None:
    assert reference_words("see #pd100/1 and PD2") == ("#pd100/1", "PD2")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01", True),
        (" 7B0E4C52-91D3-4F6A-8A27-3C5D9E1F0A01 ", True),
        ("SEAuto-1", False),
        ("7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a012", False),
        (None, False),
    ],
)
def test_uuid_is_known_by_its_form(text: str | None, is_one: bool) -> None:
    assert is_uuid(text) is is_one
