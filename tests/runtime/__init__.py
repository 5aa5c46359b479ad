"""What code in cells asks of its host, and what it is answered."""
