"""Which labels to gather next, what they become, and which to doubt."""
