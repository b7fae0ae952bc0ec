"""How a network of a checkpoint runs fast on a CPU: its forms, and the choice between them."""
