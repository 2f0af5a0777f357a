"""From camera RGB to a picture on a screen: matrices, white balance, tone."""
