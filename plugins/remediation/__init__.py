"""Mending what the gate found: remedies as data, guards before each change, a journal by which all of it is undone."""
