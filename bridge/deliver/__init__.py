"""LEAVES: look first, then write; settle what is unclear. look (before) · settle (after an answer was lost) · outcome (what came of it)."""
