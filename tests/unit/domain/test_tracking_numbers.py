"""Tracking numbers: what of a field is a number, and when two spellings are one number."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.domain.tracking_numbers import LONGEST_NUMBER, normalize_tracking, tracking_numbers

UPS, UPS_2 = "1ZA0000T0386000019", "1ZA0000T0386000028"
USPS = "9405005000000000000023"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " - ",
        "?",
        "N/A",
        "N/A - LETTER",
        "none",
        "LOCAL PICKUP",
        "HAND DELIVERED",
        "PENDING",
        "Untracked letter",
        "sin número",
        "Sendung ohne Nummer",
        "無し",
        "0",
        "0000-0000",
        "9.4055E+21",
        "9,4055E+21",
        "94055E+17",
        "ada@example.com",
        "a1@example.com",
        "https://track.example.com/?n=771234",
        "Box 2",
        "Parcel 2 of 3",
        "2 of 3",
        "12/01/2025",
        "due #12-1-2025",
        "2025-12-01 10:30",
        "Nov 29, 2026",
        "555-123-4567",
        "+1 (555) 123-4567",
        "Tel 01711234567",
        "$12.50",
        "#PD1234567/1",
        "same as PD1234567",
        "Order 12345678",
        "ups.com/track?n=7712345675",
        "7712 3456 7890 7712 3456 7891",
        UPS + " a-" * LONGEST_NUMBER * 10,
        "7" + "12" * LONGEST_NUMBER,
        "TEST123",
        "test1",
        "pickup_2",
        "RMA 771234567890",
        "INV-20391234",
        "Driver Mike 5551234567",
        "20261130",
        "42090210",
        "420 90210",
        "se-520000001",
        "SEAuto-Sim000000000001",
        f"{UPS} VOIDED",
        f"VOID {UPS}",
        f"{UPS} (void) {UPS_2}",
        "771234567890 cancelled",
        "do not use 771234567890",
        "771234567890-1",
        "771234567890 2",
    ],
)
def test_what_surely_holds_no_number_is_none(text: str | None) -> None:
    assert tracking_numbers(text) == ()
    assert normalize_tracking(text) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (UPS, UPS),
        ("1Z1", "1Z1"),
        ("1Z 228 5Y8 03 0505 5914", "1Z2285Y80305055914"),
        ("9405 0050 0000 0000 0000 23", USPS),
        ("LX 123 456 789 US", "LX123456789US"),
        ("12345678 90123456", "1234567890123456"),
        ("771 234 5678", "7712345678"),
        ("Marken 7712345675", "7712345675"),
        ("JD 0140 1234 5678", "JD014012345678"),
        ("JJD-0140-1234", "JJD-0140-1234"),
        ("１２３４５６７８", "12345678"),
        ("1ZA0000\u200bT0386000019", UPS),
        ("DHL AWB# 7712345675", "7712345675"),
        ("AWB-7712345675", "7712345675"),
        ("Tracking: 9405 0050 0000 0000 0000 23", USPS),
        ("快递单号7712345675", "7712345675"),
        ("\t" + UPS + "\u200b", UPS),
        (UPS.lower(), UPS),
        ("1ZA0000T\u20100386000019", UPS),
        ("1ZA0000T0386000O19", UPS),
        ("IZA0000T0386000019", UPS),
        ("rx 123 456 785 gb", "RX123456785GB"),
        ("tba 123456789000", "tba123456789000"),
        ("7712\u20133456\u20137890", "771234567890"),
        ("771,234,567,890", "771234567890"),
        ("771234567890.0", "771234567890"),
        ("771234567890,00", "771234567890"),
        ("771234567890, 2", "771234567890"),
        ("77123456789; 12-1-2025", "77123456789"),
        ('="771234567890"', "771234567890"),
        ("]C100340434161094042557", "00340434161094042557"),
        ("PRO# 123456789", "123456789"),
        ("Awb 7712345675", "7712345675"),
        (f"UPS{UPS}", UPS),
        (f"USPS{USPS}", USPS),
        ("FedEx771234567890", "771234567890"),
        ("GFUS01012345678901", "GFUS01012345678901"),
        ("ABCD1234567890", "ABCD1234567890"),
        (f"1/2 {UPS}", UPS),
        (f"{UPS} (1 of 2)", UPS),
        (f"{UPS} x2", UPS),
        (f"order PD1234567/1: {UPS}", UPS),
        (f"ups.com/track?n={UPS}", UPS),
        (f"{UPS}, box 2", UPS),
        (f"{UPS} / N/A", UPS),
        (f"see https://www.ups.com/track?tracknum={UPS}&x=1", UPS),
    ],
)
def test_number_is_read_as_a_shopper_expects_it(text: str, number: str) -> None:
    assert tracking_numbers(text) == (number,)


@pytest.mark.parametrize(
    "separator",
    [", ", ",", ";", " / ", "/", "|", "\n", " and ", " & ", " ", "", "&", "+", "<br>", " Box 2: "],
)
def test_several_numbers_are_several_whatever_stands_between(separator: str) -> None:
    assert tracking_numbers(f"{UPS}{separator}{UPS_2}") == (UPS, UPS_2)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("771234567890&771234567891", ("771234567890", "771234567891")),
        ("771234567890-771234567891", ("771234567890", "771234567891")),
        ("771234567890\\n771234567891", ("771234567890", "771234567891")),
        ("771234567890、771234567891", ("771234567890", "771234567891")),
        (f"FedEx 771234567890 / UPS {UPS}", ("771234567890", UPS)),
        (f"{UPS}, 7712 3456 7890", (UPS, "771234567890")),
        ("771234567890, lost; 771234567891 new", ("771234567890", "771234567891")),
    ],
)
def test_numbers_of_different_forms_are_all_kept(text: str, numbers: tuple[str, ...]) -> None:
    assert tracking_numbers(text) == numbers


def test_letter_that_may_belong_to_the_number_stays() -> None:
    """Neither reading has a right check digit, so which one is right can't be known."""
    assert tracking_numbers("1ZA0000T0386000O18") == ("1ZA0000T0386000O18",)


def test_same_number_in_two_spellings_is_one() -> None:
    assert tracking_numbers(f"{USPS}, 42096784{USPS}") == (USPS,)


@pytest.mark.parametrize("number", ["1za0-0000 t03", "1ZA00000T03", " 1Z.A0.0000/t03 "])
def test_punctuation_inside_one_number_makes_no_two(number: str) -> None:
    assert normalize_tracking(number) == "1ZA00000T03"


@pytest.mark.parametrize(
    ("barcode", "number"),
    [
        (f"42096784{USPS}", USPS),
        (f"420967841234{USPS}", USPS),
        (f"420 96784 {USPS}", USPS),
        (f"420967841234 {USPS}", USPS),
        (f"420967841234\x1d{USPS}", USPS),
        (f"(420)96784 {USPS} (1 of 2)", USPS),
        ("42096784" + "92612999912345000000000012", "92612999912345000000000012"),
        ("1001921334250001000300779017972697", "779017972697"),
        ("9622001900000000000000776632517510", "776632517510"),
        ("9611020987654312345672", "987654312345672"),
    ],
)
def test_scanned_barcode_is_the_number_that_is_printed_below_it(barcode: str, number: str) -> None:
    assert tracking_numbers(barcode) == (number,)
    assert normalize_tracking(barcode) == normalize_tracking(number)


def test_check_digit_settles_where_the_zip_code_ends() -> None:
    """Both readings look like a number of USPS; only the one of 26 digits has a right check
    digit."""
    right = "92029123400000000000000000"

    assert tracking_numbers(f"42096784{right}") == (right,)


def test_two_barcodes_that_begin_alike_are_two_numbers() -> None:
    other = "9405005000000000000030"

    assert normalize_tracking(f"42096784{USPS}") != normalize_tracking(f"42096784{other}")


@pytest.mark.parametrize("number", ["420123", "4201234567", "1234" * 8 + "12"])
def test_number_that_only_begins_like_a_barcode_stays_whole(number: str) -> None:
    assert tracking_numbers(number) == (number,)


@pytest.mark.parametrize(
    "text", ["DHL 77 1234 5675", "Box 2 7712345675", "Box 12 771234567", "via DPD 12345"]
)
def test_which_of_several_parts_among_words_is_the_number_is_never_guessed(text: str) -> None:
    assert tracking_numbers(text) == ()


TEXTS = st.text(alphabet="1Z90A 42,;/|-.#:@EeK", max_size=40) | st.text(max_size=40)


@given(text=TEXTS)
@example(text="AA,00000;0")
@example(text="1234567890/12,A")
@example(text="0000000000/-000000000;A")
@example(text=":0/0/1")
def test_what_is_read_is_read_again_the_same(text: str) -> None:
    numbers = tracking_numbers(text)

    assert tracking_numbers(", ".join(numbers)) == numbers or len(numbers) > 1
    for number in numbers:
        assert normalize_tracking(number)
        assert normalize_tracking(normalize_tracking(number)) == normalize_tracking(number)
        assert number == "".join(number.split())
    assert len({normalize_tracking(number) for number in numbers}) == len(numbers)
