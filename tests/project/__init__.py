"""What the project promises of itself: README, deploy/, package, make targets."""
