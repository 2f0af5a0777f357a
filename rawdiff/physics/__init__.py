"""The laws of the sensor: encodings, operators, the exposure process, likelihoods."""
