"""Dark raw photographs made clean by the physics of light."""

__version__ = "0.1.0"
