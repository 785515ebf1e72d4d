"""Carriers: the name that shoppers know and a link that opens, never another carrier's."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.domain.shipments import Shipment, ShipmentState
from bridge.translate.carriers import TABLE, Carriers, Row, link, own_rows

NUMBER = "1Z A/1?x=2#é&"


def parcel(
    code: str | None = None,
    *,
    name: str | None = None,
    url: str | None = None,
    number: str | None = "N1",
    service: str | None = None,
) -> Shipment:
    return Shipment(
        "v2_label",
        "se-1",
        ShipmentState.SHIPPED,
        carrier_code=code,
        carrier_name=name,
        tracking_url=url,
        tracking_number=number,
        service_code=service,
    )


@pytest.mark.parametrize(
    ("code", "company"),
    [
        ("stamps_com", "USPS"),
        ("usps", "USPS"),
        ("usps_ground_advantage", "USPS"),
        ("endicia", "USPS"),
        ("express_1", "USPS"),
        ("ups", "UPS"),
        ("ups_walleted", "UPS"),
        ("UPS-Walleted", "UPS"),
        ("ups_by_unishippers", "UPS"),
        ("ups_mail_innovations", "UPS"),
        ("fedex", "FedEx"),
        ("fedex_walleted", "FedEx"),
        ("fedex_uk", "FedEx"),
        ("dhl_express_worldwide", "DHL Express"),
        ("dhl_express_au", "DHL Express"),
        ("dhl_global_mail", "DHL eCommerce"),
        ("canada_post_walleted", "Canada Post"),
        ("purolator_canada", "Purolator"),
        ("royal_mail_eu", "Royal Mail"),
        ("hermes", "Evri"),
        ("hermes_germany", "Hermes"),
        ("hermes_de", "Hermes"),
        ("dhl", "DHL"),
        ("nz_post", "New Zealand Post"),
        ("sf_express", "SF Express"),
        ("correos_express", "Correos Express"),
        ("dpd", "DPD"),
        ("dpd_uk", "DPD UK"),
        ("dpdlocal", "DPD Local"),
        ("amazon_shipping_uk", "Amazon Logistics UK"),
        ("amazon_buy_shipping", "Amazon"),
        ("gls_spain", "GLS"),
        ("postnord_sweden", "PostNord"),
        ("tnt", "TNT"),
    ],
)
def test_code_becomes_the_name_that_shoppers_know(code: str, company: str) -> None:
    assert Carriers().of(parcel(code))[0] == company


@pytest.mark.parametrize(
    ("name", "company"),
    [
        ("FedEx", "FedEx"),
        ("fed ex", "FedEx"),
        ("Stamps.com", "USPS"),
        ("ROYAL-MAIL", "Royal Mail"),
        ("UPS by ShipStation", "UPS"),
        ("CanadaPost", "Canada Post"),
    ],
)
def test_friendly_name_is_matched_back_to_the_table(name: str, company: str) -> None:
    assert Carriers().of(parcel(name=name)) == Carriers().of(parcel(name=company))
    assert Carriers().of(parcel(name=name))[0] == company


@pytest.mark.parametrize(
    ("code", "company"),
    [
        ("rm_cnd_walleted", "Royal Mail"),
        ("pf_cnd_walleted", "Parcelforce"),
        ("evri_cnd_walleted", "Evri"),
        ("dpd_cnd_walleted", "DPD"),
        ("yodel_walleted", "Yodel"),
        ("dpdwallet", "DPD"),
        ("dhl_ecommerce_wallet", "DHL eCommerce"),
        ("seko_ltl_walleted", "SEKO"),
        ("fedex_uk_walleted", "FedEx"),
        ("fedex_walleted_ca", "FedEx"),
        ("ups_ca_walleted", "UPS"),
        ("ups_ca", "UPS"),
        ("canada_post_us", "Canada Post"),
        ("yodel_tracked_walleted", "Yodel"),
        ("gls_us", "GLS US"),
        ("gls_canada", "GLS Canada"),
        ("GLS Canada", "GLS Canada"),
        ("canpar", "Canpar"),
        ("FedExDefault", "FedEx"),
    ],
)
def test_code_of_shipstations_own_accounts_finds_its_carrier(code: str, company: str) -> None:
    assert Carriers().of(parcel(code))[0] == company
    assert Carriers().unknown(parcel(code)) is None


@pytest.mark.parametrize("code", ["my_van_walleted", "upsala_walleted", "xx_walleted", "ups_bags"])
def test_code_that_only_looks_like_one_of_theirs_finds_none(code: str) -> None:
    assert Carriers().row(code) is None


@pytest.mark.parametrize(
    ("name", "company"),
    [
        ("FedEx Ground", "FedEx"),
        ("UPS Next Day Air", "UPS"),
        ("ups® ground", "UPS"),
        ("USPS Priority Mail", "USPS"),
        ("Royal Mail Tracked 24", "Royal Mail"),
        ("DPD Local Next Day", "DPD Local"),
        ("Stamps.com First Class", "USPS"),
        ("DHL Express Worldwide", "DHL Express"),
        ("FedEx 2Day A.M.", "FedEx"),
        ("UPS Standard to Canada", "UPS"),
        ("UPS - 123456", "UPS"),
        ("FedEx - Main account", "FedEx"),
        ("United Parcel Service Inc.", "UPS"),
        ("U.S. Postal Service", "USPS"),
        ("United States Postal Service (USPS)", "USPS"),
        ("Federal Express (FedEx)", "FedEx"),
        ("LaserShip/OnTrac", "OnTrac"),
        ("AMZL", "Amazon"),
        ("Correos de España", "Correos"),
    ],
)
def test_name_with_its_service_finds_its_carrier(name: str, company: str) -> None:
    assert Carriers().of(parcel(name=name))[0] == company


@pytest.mark.parametrize(
    "name",
    [
        "UPS Couriers of Leeds",
        "FedEx Bikes",
        "Upstate Ground",
        "UPSY",
        "UPS / FedEx",
        "DPD France",
        "Smith (Sons)",
    ],
)
def test_name_that_only_begins_like_a_carriers_stays_as_it_is(name: str) -> None:
    assert Carriers().of(parcel(name=name)) == (name, None)


@pytest.mark.parametrize("service", ["globalpost_economy", "globalpost_priority", "gp_plus"])
def test_service_of_another_carrier_goes_before_the_accounts_code(service: str) -> None:
    assert Carriers().of(parcel("stamps_com", service=service)) == ("GlobalPost", None)


@pytest.mark.parametrize("service", ["usps_ground_advantage", "rm_cnd_walleted_gp_eu", None])
def test_any_other_service_leaves_the_code_to_speak(service: str | None) -> None:
    assert Carriers().of(parcel("stamps_com", service=service))[0] == "USPS"


def test_page_of_one_country_is_not_sent_for_another() -> None:
    assert Carriers().of(parcel("postnl_de")) == ("PostNL", None)
    assert Carriers().of(parcel("ups_de"))[1] == "https://www.ups.com/track?tracknum=N1"


def test_account_teaches_names_of_codes_that_the_table_does_not_hold() -> None:
    carriers = Carriers()
    carriers.learn(
        {
            "se_courier_x": "Courier X by ShipStation",
            "my_ups": "UPS from ShipStation",
            "ups": "Our account at U.P.S.",
            "nameless": "Other",
        }
    )

    assert carriers.of(parcel("se_courier_x")) == ("Courier X", None)
    assert carriers.of(parcel("my_ups"))[1] == "https://www.ups.com/track?tracknum=N1"
    assert carriers.of(parcel("ups"))[0] == "UPS"
    assert carriers.of(parcel("nameless"))[0] == "Nameless"
    assert carriers.unknown(parcel("se_courier_x")) is None
    assert carriers.unknown(parcel("nameless")) == "nameless"


def test_name_that_a_person_chose_goes_before_the_code() -> None:
    assert Carriers().of(parcel("usps", name="FedEx"))[0] == "FedEx"


def test_nameless_name_leaves_the_code_to_speak() -> None:
    assert Carriers().of(parcel("ups", name="Other"))[0] == "UPS"


@pytest.mark.parametrize("code", ["other", "Other", "unknown", None, "", "external"])
def test_no_carrier_is_no_company_and_no_link(code: str | None) -> None:
    assert Carriers().of(parcel(code)) == (None, None)


@pytest.mark.parametrize(
    ("code", "company"),
    [
        ("my_carrier", "My Carrier"),
        ("north-dock", "North Dock"),
        ("my_carrier_walleted", "My Carrier"),
        ("DHL", "DHL"),
        ("Joe's Vans", "Joe's Vans"),
        ("joe's red vans", "joe's red vans"),
        ("upsy_daisy", "Upsy Daisy"),
        ("fedexpress", "Fedexpress"),
    ],
)
def test_unknown_carrier_is_made_readable_and_never_another(code: str, company: str) -> None:
    assert Carriers().of(parcel(code)) == (company, None)


def test_number_that_looks_like_another_carriers_changes_nothing() -> None:
    company, url = Carriers().of(parcel("usps", number="1ZB7700T0412345678"))

    assert company == "USPS"
    assert url == "https://tools.usps.com/go/TrackConfirmAction?tLabels=1ZB7700T0412345678"


def test_labels_own_link_goes_first() -> None:
    assert (
        Carriers().of(parcel("ups", url="http://wwwapps.ups.com/t?n=N1"))[1]
        == "http://wwwapps.ups.com/t?n=N1"
    )


@pytest.mark.parametrize(
    ("code", "url", "sent"),
    [
        ("stamps_com", "https://www.goglobalpost.com/track-detail/?t=N1", False),
        ("ups", "https://tools.usps.com/go/x?tLabels=N1", False),
        ("dhl_ecommerce", "https://www.dhl.com/track?n=N1", True),
        ("dpd_uk", "https://track.dpd.co.uk/parcels/N1", True),
        ("ups", "https://track.shop.example/N1", True),
        ("my_van", "https://www.ups.com/track?tracknum=N1", True),
    ],
)
def test_labels_own_link_must_fit_the_carrier_that_is_named(
    code: str, url: str, sent: bool
) -> None:
    assert Carriers().of(parcel(code, url=url))[1] == (url if sent else None)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://ups.com/N1",
        "https://",
        "https:///N1",
        "//ups.com/N1",
        "https://ups.com@evil.example/",
        "https://[x",
        "https://ups.com/a b",
        "https://ups.com/" + "x" * 2000,
    ],
)
def test_link_that_no_browser_should_open_is_replaced_by_the_table(url: str) -> None:
    assert Carriers().of(parcel("ups", url=url))[1] == "https://www.ups.com/track?tracknum=N1"


def test_no_number_is_no_link() -> None:
    assert Carriers().of(parcel("ups", number=None)) == ("UPS", None)


def test_number_is_url_encoded() -> None:
    assert (
        Carriers().of(parcel("ups", number="A B/1"))[1]
        == "https://www.ups.com/track?tracknum=A%20B%2F1"
    )


@given(
    row=st.sampled_from([r for r in TABLE if r["link"] and r["certainty"] != "guess"]),
    number=st.text(min_size=1).filter(str.isprintable),
)
def test_link_holds_exactly_its_number(row: Row, number: str) -> None:
    url = link(row, number)
    before, _, after = row["link"].partition("{n}")

    assert url is not None
    assert url.isascii()
    assert urlsplit(url).hostname == urlsplit(before).hostname
    assert unquote(url[len(before) : len(url) - len(after)]) == number


@pytest.mark.parametrize("row", [row for row in TABLE if row["certainty"] == "guess"])
def test_link_that_is_only_a_guess_is_not_sent(row: Row) -> None:
    assert link(row, "N1") is None


@given(number=st.text(), code=st.text(), name=st.none() | st.text(), url=st.none() | st.text())
def test_whatever_is_given_has_an_answer(
    number: str, code: str, name: str | None, url: str | None
) -> None:
    company, own = Carriers().of(parcel(code, name=name, url=url, number=number))

    assert company is None or company
    assert (
        own is None
        or own.startswith(("http://", "https://"))
        or urlsplit(own).scheme in {"http", "https"}
    )


@given(code=st.from_regex(r"[a-z]{3,10}(_[a-z]{2,6})?", fullmatch=True))
def test_code_outside_the_table_never_gets_a_name_of_the_table(code: str) -> None:
    assume(Carriers().row(code) is None)

    assert Carriers().of(parcel(code))[0] not in {row["company"] for row in TABLE}


def test_every_row_says_where_it_was_seen_and_how_certain_it_is() -> None:
    assert all(row["source"] and row["certainty"] in {"sure", "likely", "guess"} for row in TABLE)
    assert all(row["certainty"] != "sure" for row in TABLE if "guess" in row["source"])


def test_every_row_has_a_code_a_name_and_a_secure_link_with_one_place_for_the_number() -> None:
    assert all(row["codes"].split() and row["company"] for row in TABLE)
    assert all(
        row["link"].startswith("https://") and row["link"].count("{n}") == 1
        for row in TABLE
        if row["link"]
    )


def test_no_code_stands_in_two_rows() -> None:
    codes = [code for row in TABLE for code in row["codes"].split()]

    assert len(codes) == len(set(codes))


OWN = (
    "codes,company,aliases,link\nmy_van my_van_*,Our Van,The Van,"
    "https://van.example.com/?n={n}\nups,UPS of ours,,\n"
)


def test_own_row_names_a_carrier_that_the_table_does_not_know() -> None:
    carriers = Carriers(own_rows(OWN))

    assert carriers.of(parcel("my_van_north", number="A 1")) == (
        "Our Van",
        "https://van.example.com/?n=A%201",
    )


def test_own_row_goes_before_the_built_in_one() -> None:
    assert Carriers(own_rows(OWN)).of(parcel("ups"))[0] == "UPS of ours"


@pytest.mark.parametrize("before", ["", "\ufeff"], ids=["plain", "as Excel saves it"])
def test_own_rows_are_read_cell_by_cell(before: str) -> None:
    [row, _] = own_rows(before + "codes,company,link\n x_van , Xavi's Van,\nups,Ups,\n")

    assert (row["codes"], row["company"], row["link"]) == ("x_van", "Xavi's Van", "")
    assert row.keys() == TABLE[0].keys()


WHERE_THE_NUMBER_GOES = "a link starts with https:// and holds {n} once, where the number goes"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("codes,company,link\nmy_van,,\n", "line 2: codes and company are both needed"),
        ("codes,company,link\n,Our Van,\n", "line 2: codes and company are both needed"),
        (
            "codes,company,link\nok,Ok,\nmy_van,Our Van,http://van.example.com/{n}\n",
            f"line 3: {WHERE_THE_NUMBER_GOES}",
        ),
        (
            "codes,company,link\nmy_van,Our Van,https://van.example.com/\n",
            f"line 2: {WHERE_THE_NUMBER_GOES}",
        ),
        (
            "codes,company,link\nmy_van,Our Van,https://van.example.com/{n}/{n}\n",
            f"line 2: {WHERE_THE_NUMBER_GOES}",
        ),
    ],
)
def test_wrong_own_row_is_told_by_its_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^line") as raised:
        own_rows(text)

    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("link", "own_link", "is_sent"),
    [
        ("https://track.van.net.au/{n}", "https://my.shop.net.au/N1", True),
        ("https://track.van.org.uk/{n}", "https://my.shop.org.uk/N1", True),
        ("https://track.van.com.au/{n}", "https://my.shop.com.au/N1", True),
        ("https://track.van.co.uk/{n}", "https://my.shop.co.uk/N1", True),
        ("https://track.van.co.uk/{n}", "https://www.van.co.uk/N1", False),
        ("https://a.b.track.van.co.uk/{n}", "https://www.van.co.uk/N1", False),
        ("https://co.van.example/{n}", "https://co.shop.example/N1", True),
        ("https://com.example/{n}", "https://my.com.example/N1", True),
        ("https://van.example/{n}", "https://www.van.example/N1", False),
        ("https://van.example/{n}", "https://www.shop.example/N1", True),
    ],
)
def test_page_is_another_carriers_where_the_domain_is(
    link: str, own_link: str, is_sent: bool
) -> None:
    """`co.uk` is nobody's own: what stands before it tells whose page it is."""
    carriers = Carriers(own_rows(f"codes,company,link\nmy_van,Our Van,{link}\n"))

    assert carriers.of(parcel("ups", url=own_link))[1] == (own_link if is_sent else None)


def test_each_code_and_each_name_of_a_row_is_its_carriers() -> None:
    carriers = Carriers(
        own_rows(
            "codes,company,aliases,services\n"
            "my_van their_van old_van_*,Our Van,The Van|Van & Sons,van_plus van_night*\n"
            "old_van_south_*,Southern Vans,,\n"
        )
    )
    assert carriers.of(parcel("old_van_south_1")) == ("Southern Vans", None)

    for code in ("my_van", "their_van", "old_van_north", "The Van", "Van & Sons", "our van"):
        assert carriers.of(parcel(code)) == ("Our Van", None), code
    for service in ("van_plus", "van_night_2"):
        assert carriers.of(parcel("ups", service=service)) == ("Our Van", None), service
    for code in ("old_vans", "old", "my_van their_van", "The Van|Van & Sons"):
        assert carriers.row(code) is None, code


def test_code_of_an_own_account_may_name_its_service_behind_the_carrier() -> None:
    """The longest part that is a carrier's counts."""
    carriers = Carriers(own_rows("codes,company\nvan,Van\nvan_north,Van North\n"))

    assert carriers.of(parcel("van_north_day_plus_walleted"))[0] == "Van North"
    assert carriers.of(parcel("van_south_day_walleted"))[0] == "Van"


def test_name_that_the_account_gives_is_told_without_shipstation() -> None:
    carriers = Carriers()
    carriers.learn({"a": " Courier A BY SHIPSTATION ", "b": "Courier B from ShipStation"})

    assert [carriers.of(parcel(code))[0] for code in "ab"] == ["Courier A", "Courier B"]


def test_unknown_carrier_is_told_as_it_was_written() -> None:
    assert Carriers().unknown(parcel("planet_courier")) == "planet_courier"
    assert Carriers().unknown(parcel("ups")) is None
    assert Carriers().unknown(parcel("other")) is None
