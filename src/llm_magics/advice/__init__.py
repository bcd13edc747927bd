"""What fits, what is wrong, what to choose."""
