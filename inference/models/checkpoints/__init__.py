"""The checkpoints that ship with cropmap."""
