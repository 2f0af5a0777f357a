"""One short file per published system."""
