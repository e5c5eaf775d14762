"""`python -m seatrial.lab`."""

from seatrial.lab.command import lab

lab(prog_name="seatrial lab")
