"""Dark raw captures with known truth, from clean photographs."""
