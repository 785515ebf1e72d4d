"""What may be kept of a vendor's error text: its codes and request ids, and of a sentence the words
that every API uses. Anything else may be a shopper's name, address or phone: it becomes `…`."""

import re
from collections.abc import Collection, Iterator, Mapping

from bridge.domain.redaction import LEFT_OUT

_CODES = frozenset({"code", "error_code", "error_type", "error_source", "field_name", "request_id"})
_SENTENCES = frozenset({"error", "errors", "message", "detail", "exceptionmessage"})
_DEEPEST = 6
_LONGEST = 500

_CODE = re.compile(r"[A-Za-z]+([._][A-Za-z]+|\[\d{0,4}\])*", re.ASCII)
_REQUEST_ID = re.compile(r"(?=.*[a-z])[0-9a-f]+(-[0-9a-f]+)*", re.ASCII | re.IGNORECASE)
_OUR_IDS = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|se-[0-9]{1,20}", re.ASCII | re.IGNORECASE
)
_TOKEN = re.compile(r"[^\s\"'`<>(){}\[\],;:=!?]+")
_WORDS = frozenset(
    """
    a about above accepted access account action active address after again all allowed already
    also amount an and another any api are array as at attempt auth authentication authorization
    awaiting back bad balance batch be because been before below between billing blank body
    boolean both but by call called calls can cancelled canceled cannot carrier carriers
    certificate change changed character characters check closed code company complete completed
    configured conflict connect connected connection contact contains content could country create
    created credential credentials currency currently customer data database date day decimal
    deleted denied details did different disabled do does done duplicate during each either email
    empty enabled enough entity error errors exceed exceeded exceeds exception exist existing
    exists expected expired external failed failure false feature field fields file filter first
    for forbidden format found from fulfill fulfilled fulfillment fulfillments fund gateway
    greater had has have header headers id identifier ids if ignored in inactive incorrect index
    input insufficient integer integration internal into invalid inventory is issue it item items
    its json key label labels last later least left length less limit limited line lines link list
    locked long longer maintenance malformed many marked match matching max maximum may message
    method min minimum minute minutes missing more most must name named names need needed negative
    new next no none not nothing notification notify null number numbers object of off on once one
    only open operation or order orders other out over own package packages page parameter
    parameters parse part password path payload payment pending per permission permissions phone
    plan please positive post present previous price problem process processed processing product
    products property provide provided provider purple quantity query quota range rate rates
    reached read received record reference references refused reject rejected remaining request
    requested requests require required requires resource response result retry returned returns
    row rows same schema seconds security see send sent server service services session set
    shipment shipments shipped shipping shipstation should sku skus some something source
    specified state status still stock store string subscription such suite supplied support
    supported system temporarily text than that the their then there these they this throttled
    time timed timeout timestamp to token too total track tracking trial true try type types
    unable unauthorized unavailable under unexpected unique unit units unknown unprocessable
    unsupported until update updated upgrade url use used user uuid valid validation value values
    variant version void voided wait warehouse was web webhook webhooks were when where which
    while will with within without wrong you your zero zip
    """.split()  # noqa: SIM905  # two hundred quoted words could not be read
)


def vendor_words(body: object, *, secrets: Collection[str] = ()) -> str:
    """A vendor's codes, request ids and the plain words of its messages, wherever they stand in its
    JSON `body`: one printable line of at most 500 characters. None of `secrets` is in it."""
    phrases = []
    for phrase in _phrases(body, secrets):
        if phrase and phrase not in phrases:
            phrases.append(phrase)
    return "; ".join(phrases)[:_LONGEST]


def plain_words(text: str) -> str:
    """`text` without what could be a person's: words of every API, their identifiers and the ids of
    both vendors stay, everything between them becomes `…`."""
    masked = _TOKEN.sub(lambda match: _plain_token(match[0]), " ".join(text.split()))
    once = re.sub(rf"{LEFT_OUT}([\s,.'-]*{LEFT_OUT})+", LEFT_OUT, masked)
    return "".join(char for char in once if char.isprintable())


def _phrases(
    node: object, secrets: Collection[str], key: str = "", depth: int = 0
) -> Iterator[str]:
    if isinstance(node, str):
        for secret in secrets:
            node = node.replace(secret, LEFT_OUT)
        if key in _SENTENCES:
            yield plain_words(node)
        elif key in _CODES and (_REQUEST_ID if key == "request_id" else _CODE).fullmatch(node):
            yield node[:64]
    elif isinstance(node, Mapping) and depth < _DEEPEST:
        for name, inner in node.items():
            yield from _phrases(inner, secrets, str(name).lower(), depth + 1)
    elif isinstance(node, list) and depth < _DEEPEST:
        for inner in node:
            yield from _phrases(inner, secrets, key, depth + 1)


def _plain_token(token: str) -> str:
    bare = token.rstrip(".")
    if _OUR_IDS.fullmatch(bare):
        return token
    parts = re.split(r"[._/-]", bare.lower())
    is_plain = all(part in _WORDS or part == "" for part in parts)
    return token if is_plain else LEFT_OUT
