"""Many inputs: plan, journal, launch."""
