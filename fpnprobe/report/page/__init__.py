"""The content of a report as data, and the pages that are set from it: HTML and PDF."""
