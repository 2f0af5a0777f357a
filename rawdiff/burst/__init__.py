"""Grouping, alignment and merging of bursts."""
