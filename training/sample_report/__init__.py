"""What labelled series hold, in numbers and as a picture."""
