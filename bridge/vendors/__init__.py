"""How the bridge talks to both vendors: http (the one client), rate_limit, shipstation/,
purple_dot/."""
