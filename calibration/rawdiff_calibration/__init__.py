"""Sensor calibration: arrays in, `SensorProfile` out. Reads no image files."""
