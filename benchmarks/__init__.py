"""Measurements and the demo: everything that a README figure comes from."""
