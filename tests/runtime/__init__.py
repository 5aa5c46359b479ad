"""What code in cells asks of its host, against the real things."""
