"""What is true whatever happens: random steps, kills, full disks and pauses, checked against a model."""
