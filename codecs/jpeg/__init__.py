"""JPEG files as their quantised coefficients: nothing of the file is lost."""
