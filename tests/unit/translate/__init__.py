"""Pure rules of bridge/translate/."""
