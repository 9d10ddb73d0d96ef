"""Reads what a study has stored into the tables that the report shows."""
