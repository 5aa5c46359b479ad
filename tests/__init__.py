"""What the project promises, as sentences; the highest interface that can see each is used."""
