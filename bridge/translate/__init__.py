"""Pure rules. Which order (matching), which lines (fulfillments), which carrier name (carriers).

What becomes of a page of shipments (placement): the values of a plan (plans), whether two records
are one parcel (parcels), which delivery a shipment is already (recognition, planned_deliveries),
and what a delivery still allows (standing)."""
