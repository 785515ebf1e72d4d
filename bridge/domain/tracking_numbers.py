"""Tracking numbers: what a field for a number really holds, and when two spellings are one number.

People and scanners put more than a number there: several numbers, words around one, the whole
barcode, or words instead of a number. What can't be made out surely is no number. Forms of
numbers: https://postalpro.usps.com (420 + ZIP + number), https://www.upu.int (S10),
https://github.com/jkeen/tracking_number_data (FedEx barcodes)."""

import html
import re
import unicodedata
from functools import lru_cache

LONGEST_NUMBER = 100
_LONGEST_TEXT = 1000
"""Longer ones are no field for a number, and looking into them would cost more than it tells."""
_PLAUSIBLE_LENGTH = 8
"""A piece of a longer text is a number of its own only from this many letters and digits on."""
_LENGTH_WITHOUT_GROUPS = 10
"""People type numbers in groups; a group is never as long as this."""

_SEPARATOR = re.compile(
    r"[,;|/\r\n\t•、]+|<[^<>]*>|\\[nrt]|\s(?:and|or|und|et|y|&|\+)\s", re.IGNORECASE
)
_GLUE = re.compile(r"[\s&+-]+")
"""Between two numbers that are each whole; else it is punctuation inside one."""
_TOKEN = re.compile(r"[0-9A-Za-z]+(?:[-._,&/+!?]+[0-9A-Za-z]+)*")
_NO_LETTER_OR_DIGIT = re.compile(r"[^0-9A-Z]+")
_LETTERS_BEYOND_ASCII = re.compile(r"[^\W\d_A-Za-z]+")
_EXPONENT = re.compile(r"\d[.,]\d+E[+-]?\d+|\d+E\+\d+", re.IGNORECASE)
_LINK_OR_MAIL = re.compile(r"://|www\.|@|\b[a-z0-9-]+\.[a-z]{2,}/", re.IGNORECASE)
_SCANNERS_OWN = re.compile(r"\A\][A-Za-z][0-9]")
"""What a scanner may send before a barcode, to say of which kind it is (ISO/IEC 15424)."""
_SOMETHING_ELSE = re.compile(
    r"""[$€£]\s?\d
    # Who to call:
    | \A\+ | \A(?:\(\d{3}\)\s?|\d{3}[-.])\d{3}[-.]\d{4}\Z
    | \b(?:tel|phone|fax|call|cell|mobile|driver)\b
    # A day:
    | \A\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:\D.*)?\Z
    | \A20[2-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\Z
    | \b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|
       sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?\s\d{1,2}\b
    # An order, or goods that come back:
    | \bPD\d+(?:/\d+)?\b | \b(?:order|invoice|inv|po|rma)\b
    # An id of ShipStation's own:
    | \Ase(?:auto)?-
    # The ZIP code of a scanned label alone:
    | \A420[\s-]?\d{5}\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TAKEN_BACK = re.compile(r"\b(?:void(?:ed)?|cancell?ed|do\s+not\s+(?:use|ship))\b", re.IGNORECASE)
"""Of several numbers it can't be known which one is meant."""
_DISTINCT_FORM = r"1Z[0-9A-Z]{16}|[A-Z]{2}[0-9]{9}[A-Z]{2}|9[1-5][0-9]{20}"
"""Forms that nothing but a tracking number has: of UPS, of the post (S10), of USPS."""
_DISTINCT = re.compile(_DISTINCT_FORM)
_DISTINCT_INSIDE = re.compile(rf"(?<![0-9A-Z])(?:{_DISTINCT_FORM})(?![0-9A-Z])")
_ONLY_DISTINCT = re.compile(rf"(?:{_DISTINCT_FORM})+")
_ROUTING = re.compile(r"420[0-9]{5}(?:[0-9]{4})?")
"""What a barcode of USPS begins with: the ZIP code."""
_SEPARATING = re.compile(r"[^0-9A-Za-z._?-]")
"""What would part a number when it is read again."""
_DECIMALS = re.compile(r"([0-9]{5,})[.,]0{1,2}")
"""A number that a spreadsheet wrote."""

_PUNCTUATION = ".,-_/&+!?"
_LABEL_WORDS = frozenset({
    "awb", "hawb", "track", "trk", "tn", "no", "nr", "num", "id", "code", "ref", "via", "box",
    "cn", "dhl", "ups", "usps", "dpd", "gls", "tnt", "evri", "of", "old", "new", "for", "see",
    "the", "pkg", "pcs", "ctn", "pro", "bol", "ltl",
})  # fmt: skip
"""Short words that people write beside a number. A longer word is never part of a number."""
_PREFIXES = frozenset({"tba", "tbm", "tbc", "jd", "jjd", "gm", "uus", "mi"})
"""What numbers of Amazon, DHL and others begin with, also where somebody writes it small."""
_LONGEST_PART_OF_LETTERS = 3
_WORD_WITH_A_COUNT = re.compile(r"[A-Z]{4,}[0-9]{1,4}")
"""`TEST123` is as little a number as `TEST 123`."""
_AFTER_A_CARRIER = re.compile(
    r"(FEDEX|USPS|UPS|DHL|DPD|GLS|TNT|EVRI|ONTRAC)(1Z[0-9A-Z]{16}|[0-9]{10,})", re.IGNORECASE
)
_WITH_A_COUNT = re.compile(r"[0-9]{12,}[\s_-]+[0-9]{1,2}")
"""A whole number, and which of several boxes it is, or two more digits of a number."""
_LONGEST_JOINED = 22
"""No carrier's number of digits alone is longer, but a barcode is."""


@lru_cache(maxsize=4096)  # One parcel's number is looked at by each who compares parcels.
def tracking_numbers(text: str | None) -> tuple[str, ...]:
    """The numbers in a field, each as shoppers expect it: without blanks, and without the routing
    part of a scanned barcode. Empty where there is none, or none can be made out."""
    by_key: dict[str, str] = {}
    field = text if text and len(text) <= _LONGEST_TEXT else ""
    for written in _numbers_in(_plain(field)):
        number = _as_printed(written)
        is_other = _SOMETHING_ELSE.search(written) is not None
        # It is stored as it is read, and must be the same number when it is read again.
        is_one = list(map(_as_printed, _numbers_in(number))) == [number]
        if len(number) <= LONGEST_NUMBER and is_one and not is_other:
            by_key.setdefault(_squeezed(number), number)
    return tuple(by_key.values())


@lru_cache(maxsize=4096)
def normalize_tracking(text: str | None) -> str:
    """Equal for all spellings of one number: `1z a0-0000 t03` and `1ZA00000T03`, a scanned barcode
    and the number printed below it. Empty for what is no number, such as `N/A` or `0000`."""
    numbers = tracking_numbers(text)
    return _squeezed(numbers[0]) if numbers else ""


def _plain(text: str) -> str:
    """Compatible forms of characters as one, without signs that can't be seen."""
    compatible = unicodedata.normalize("NFKC", html.unescape(text))
    visible = "".join(char for char in compatible if unicodedata.category(char) != "Cf")
    dashes = "".join("-" if unicodedata.category(char) == "Pd" else char for char in visible)
    return _SCANNERS_OWN.sub("", dashes.strip())


def _squeezed(text: str) -> str:
    return _NO_LETTER_OR_DIGIT.sub("", text.upper())


def _numbers_in(text: str) -> list[str]:
    if _TAKEN_BACK.search(text):
        return []
    squeezed = _squeezed(text)
    if _ONLY_DISTINCT.fullmatch(squeezed):
        return _DISTINCT.findall(squeezed)
    if squeezed.isdigit() and _usps_number(squeezed):
        return [squeezed]
    distinct = _DISTINCT_INSIDE.findall(text.upper())
    if _LINK_OR_MAIL.search(text):
        return distinct
    if distinct:
        return _with_further(distinct, between=_DISTINCT_INSIDE.split(text.upper()))
    if _SOMETHING_ELSE.search(text):
        return []
    pieces = [piece for piece in _pieces(text) if _has_digit(piece)]
    numbers = [number for piece in pieces if (number := _number_in(piece))]
    are_plausible = all(len(_squeezed(number)) >= _PLAUSIBLE_LENGTH for number in numbers)
    if len(pieces) < 2 or (len(numbers) == len(pieces) and are_plausible):
        return numbers
    whole = [number for number in numbers if _is_whole(number)]
    if whole:
        return whole
    # What stands between such short pieces is punctuation inside one number.
    number = _number_in(text)
    return [number] if number else []


def _with_further(distinct: list[str], *, between: list[str]) -> list[str]:
    """What stands between surely known numbers is words about them, or further numbers."""
    further = [list(filter(_is_whole, _numbers_in(part))) for part in between]
    numbers = further[0]
    for number, after in zip(distinct, further[1:], strict=True):
        numbers += [number, *after]
    return [number for number in numbers if not _ROUTING.fullmatch(number)]


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for piece in _SEPARATOR.split(text):
        tokens = [token for token in _GLUE.split(piece) if token]
        are_whole = len(tokens) > 1 and all(_is_whole(token) for token in tokens)
        pieces += tokens if are_whole else [piece]
    return pieces


def _is_whole(token: str) -> bool:
    """Whether a part between blanks is a number by itself, not one group of a number."""
    return _has_digit(token) and len(_squeezed(token)) >= _LENGTH_WITHOUT_GROUPS


def _has_digit(text: str) -> bool:
    return any(char.isascii() and char.isdigit() for char in text)


def _number_in(text: str) -> str | None:
    """The one number that this text holds, if it surely holds one."""
    squeezed = _squeezed(text)
    if not _has_digit(text) or len(set(squeezed)) < 2 or _EXPONENT.fullmatch(text.strip()):
        return None
    if _WITH_A_COUNT.fullmatch(text.strip()):
        return None
    tokens = _TOKEN.findall(_LETTERS_BEYOND_ASCII.sub(" word ", text))
    parts = [part.strip(_PUNCTUATION) for token in tokens for part in _without_label(token)]
    tokens = [part for part in parts if _squeezed(part)]
    numbers = [token for token in tokens if not _is_word(token)]
    joined = "".join(numbers)
    if _DISTINCT.fullmatch(_squeezed(joined)):
        return joined
    if len(numbers) < len(tokens):
        return _only_among_words(numbers)
    is_too_short = len(tokens) > 1 and len(squeezed) < _PLAUSIBLE_LENGTH
    is_too_long = len(tokens) > 1 and joined.isdigit() and len(joined) > _LONGEST_JOINED
    return None if is_too_short or is_too_long else joined


def _only_among_words(tokens: list[str]) -> str | None:
    distinct = [token for token in tokens if _DISTINCT.fullmatch(_squeezed(token))]
    if distinct:
        return _only(distinct)
    number = _only(tokens)
    return number if number and len(_squeezed(number)) >= _PLAUSIBLE_LENGTH else None


def _only(numbers: list[str]) -> str | None:
    return numbers[0] if len(numbers) == 1 else None


def _without_label(token: str) -> tuple[str, ...]:
    """`AWB-771234` is a word and a number, and so is `FEDEX771234567890`."""
    carrier = _AFTER_A_CARRIER.fullmatch(token)
    if carrier:
        return carrier.group(1), carrier.group(2)
    label, dash, rest = token.partition("-")
    return (label, rest) if dash and _is_word(label) else (token,)


def _is_word(token: str) -> bool:
    letters = token.strip(_PUNCTUATION)
    if _WORD_WITH_A_COUNT.fullmatch(_squeezed(token)):
        return True
    if not letters.isalpha() or letters.casefold() in _PREFIXES:
        return False
    is_long = len(letters) > _LONGEST_PART_OF_LETTERS
    is_written_small = letters.islower() or (len(letters) > 1 and letters.istitle())
    return is_long or is_written_small or letters.casefold() in _LABEL_WORDS


def _as_printed(number: str) -> str:
    """As it stands on the label, where `number` is what a scanner, a spreadsheet or a slip of the
    hand made of it."""
    squeezed = _squeezed(number)
    if _DISTINCT.fullmatch(squeezed) or re.fullmatch("IZ[0-9A-Z]{16}", squeezed):
        return _without_slips(squeezed)
    decimals = _DECIMALS.fullmatch(number)
    if decimals:
        return decimals[1]
    if not squeezed.isdigit():
        return _SEPARATING.sub("", number)
    return _without_routing(squeezed) or squeezed


def _without_slips(number: str) -> str:
    """Letters that look like digits, in a number of UPS whose check digit is right without them."""
    mended = "1Z" + number[2:8] + number[8:].replace("O", "0").replace("I", "1")
    is_slip = not _has_ups_check_digit(number) and _has_ups_check_digit(mended)
    return mended if is_slip else number


def _has_ups_check_digit(number: str) -> bool:
    """https://github.com/jkeen/tracking_number_data has the rule."""
    if not re.fullmatch("1Z[0-9A-Z]{15}[0-9]", number):
        return False
    values = [int(char) if char.isdigit() else (ord(char) - 63) % 10 for char in number[2:-1]]
    total = sum(values[0::2]) + 2 * sum(values[1::2])
    return (total + int(number[-1])) % 10 == 0


def _without_routing(digits: str) -> str | None:
    """The number that is printed below a barcode; None where `digits` are no whole barcode."""
    if digits.startswith("420"):
        return _usps_number(digits)
    if len(digits) == 34 and digits.startswith(("10", "96")):
        fedex = digits[-14:].lstrip("0")
        return fedex if len(fedex) >= 12 else None
    # FedEx Ground's older barcode: what precedes the last 15 digits is not printed.
    return digits[-15:] if len(digits) == 22 and digits.startswith("96") else None


def _usps_number(barcode: str) -> str | None:
    """What follows 420 and a ZIP code of nine or five digits."""
    rests = [barcode[12:], barcode[8:]]
    likely = [rest for rest in rests if re.fullmatch(r"9[1-5][0-9]{18,24}", rest)]
    likely = [rest for rest in likely if len(rest) in (20, 22, 26)]
    sure = [rest for rest in likely if _has_usps_check_digit(rest)]
    return next(iter([*sure, *likely]), None)


def _has_usps_check_digit(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    total = sum(digits[0::2]) + 3 * sum(digits[1::2])
    return total % 10 == 0
