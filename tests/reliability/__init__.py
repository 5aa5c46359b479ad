"""What is left when processes are killed: real clients, relays, daemons and keepers, and every pair of them."""
