"""Translation: pure rules. Which order (matching), which lines (fulfillments), which carrier name
(carriers)."""
