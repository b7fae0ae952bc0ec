"""What is published elsewhere, fetched when it is asked for: resumed, checked, with its licence."""
