"""Pure rules. Which order (matching), which lines (fulfillments), which carrier name (carriers).

Which lines: what a parcel holds (contents), what is left of its order (remaining), and whether its
goods went out before with another number (repeats).

What becomes of a page of shipments (placement): the values of a plan (plans), whether two records
are one parcel (parcels), which delivery a shipment is already (recognition, planned_deliveries),
and what a delivery still allows (standing)."""
