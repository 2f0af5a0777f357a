"""From a clean but dark picture to a normally lit one, in linear light."""
