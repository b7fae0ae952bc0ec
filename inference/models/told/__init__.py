"""What a model's file tells besides its classes: where it is applicable, sets, what training looked like."""
