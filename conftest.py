"""Joins the rooms: facts, plugins and marks for everything that pytest runs in this repository."""

pytest_plugins = ["seatrial", "pytester"]
