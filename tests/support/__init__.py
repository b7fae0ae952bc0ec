"""What tests share: small made data, and a local Earth Engine."""
