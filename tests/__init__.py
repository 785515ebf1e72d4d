"""The tests mirror bridge/; each is a claim that its name or docstring states."""
