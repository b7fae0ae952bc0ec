"""Standard lists of crop codes and what their codes mean in each other's."""
