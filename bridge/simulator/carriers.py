"""The simulated account's carriers, under every name that ShipStation gives them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Carrier:
    """`pattern` makes a tracking number of the carrier's look out of a counter."""

    code: str
    v1_code: str
    carrier_id: str
    friendly_name: str
    service: str
    pattern: str
    tracking_url: str

    def tracking_number(self, number: int) -> str:
        return self.pattern.format(number)


CARRIERS = {
    carrier.code: carrier
    for carrier in (
        Carrier(
            "ups", "ups_walleted", "se-5200101", "UPS", "ups_ground", "1ZB7X04103{:08d}",
            "http://wwwapps.ups.com/WebTracking/processRequest?HTMLVersion=5.0&Requester=NES&AgreeToTermsAndConditions=yes&loc=en_US&tracknum={}",
        ),
        Carrier(
            "stamps_com", "stamps_com", "se-5200102", "USPS", "usps_ground_advantage", "94001118992230{:08d}",
            "https://tools.usps.com/go/TrackConfirmAction?tLabels={}",
        ),
        Carrier(
            "fedex", "fedex", "se-5200103", "FedEx", "fedex_ground", "7904{:08d}",
            "https://www.fedex.com/fedextrack/?action=track&trackingnumber={}",
        ),
        Carrier(
            "dhl_express", "dhl_express", "se-5200104", "DHL Express", "dhl_express_worldwide", "31{:08d}",
            "http://www.dhl.com/en/express/tracking.html?brand=DHL&AWB={}",
        ),
    )
}  # fmt: skip
"""By V2 code."""
