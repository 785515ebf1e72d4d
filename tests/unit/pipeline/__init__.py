"""Pure rules of bridge/pipeline/."""
