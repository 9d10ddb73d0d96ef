"""The AP of bootstrap resamples over images, exact and fast, with the slow twin that it equals."""
