"""Files that outlive a killed process: lines that are appended, and who holds a run folder."""
