"""What code in cells asks of its host, call by call."""
