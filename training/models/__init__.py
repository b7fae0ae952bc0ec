"""The models that are trained and compared: CropNet and what the paper measures it against."""
