"""Metrics, figures and pages."""
