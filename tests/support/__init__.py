"""What tests share: fakes, builders, the stack of processes, databases."""
