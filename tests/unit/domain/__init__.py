"""Pure rules of bridge/domain/."""
