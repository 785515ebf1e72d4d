"""Pure rules of bridge/operations/."""
