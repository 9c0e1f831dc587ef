"""A module for each layout that data come in (docs/data.md), and what several of them share."""
