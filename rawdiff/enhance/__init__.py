"""Enhancers on linear light."""
