"""What surrounds the journey."""
