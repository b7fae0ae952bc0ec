"""Networks: CropNet and what it is compared with, and how they are made of a configuration."""
