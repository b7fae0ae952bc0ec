"""Random Forests: pseudo-labels, growing, and the trees of scikit-learn as ours."""
