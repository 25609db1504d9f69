"""What is done to vectors before they are stored: keyed rotation, keyed noise, index permutation, and their chain."""
