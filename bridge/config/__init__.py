"""The settings: finds, reads and checks them, and resolves their secrets. Also reads YAML safely."""
