"""How the bridge talks to both vendors: http (the one client), wording (what of their words may be
kept), rate_limit, shipstation/, purple_dot/."""
