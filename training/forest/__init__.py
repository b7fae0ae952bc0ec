"""Random Forests: grown, scored, and the trees of scikit-learn as ours."""
