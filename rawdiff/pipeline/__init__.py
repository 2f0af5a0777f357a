"""The way of a photograph through the program."""
