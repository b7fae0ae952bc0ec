"""Whether Earth Engine can be reached, and whether it answers as cropmap assumes."""
