"""Pure rules of bridge/vendors/."""
