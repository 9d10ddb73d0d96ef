"""What each operator does to marks; the rules register themselves."""
