"""Files of photographs: decoding, tags, the mosaic, the DNG writer."""
