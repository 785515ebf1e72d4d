"""How much this machine carries, as ratios against a plain baseline measured in the same run. Never
asserted: `make bench` prints."""
